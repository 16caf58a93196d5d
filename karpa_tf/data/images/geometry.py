"""Random flips, shifts and crops of batches of images."""

import math

import tensorflow as tf

MAX_ASPECT_RATIO = 4 / 3
"""Of a random crop, and the inverse of its minimum (Szegedy et al. 2014, section 6)."""


def flip_and_shift(images, config, indices, epoch, seed):
    """Flips and shifts images by a single gather; the border is filled by reflection.

    Args:
        images: (batch, height, width, channels).
        config: an `AugmentationConfig`: `flip` and `crop_padding` are used.
        indices: int64 (batch,), indices of the examples in the data set.
        epoch: int64 scalar.
        seed: int64 (2,), different for every batch.
    """
    if config.flip == "none" and not config.crop_padding:
        return images
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    uniform = tf.random.stateless_uniform((3, batch), seed)
    down, right = (
        tf.cast(tf.floor(uniform[axis] * (2 * max_shift + 1)), tf.int32) - max_shift
        for axis, max_shift in enumerate(round(config.crop_padding * size) for size in (height, width))
    )
    rows = _reflect(tf.range(height) + down[:, None], height)  # (batch, height)
    columns = tf.range(width)[None] + tf.zeros((batch, 1), tf.int32)  # (batch, width)
    is_flipped = _draw_flips(config, uniform[2], indices, epoch, seed)
    columns = tf.where(is_flipped[:, None], columns[:, ::-1], columns)
    columns = _reflect(columns + right[:, None], width)
    pixels = tf.reshape(rows[:, :, None] * width + columns[:, None, :], (batch, -1))
    flat = tf.gather(tf.reshape(images, (batch, height * width, -1)), pixels, batch_dims=1)
    return tf.reshape(flat, tf.shape(images))


def flip_and_resize_crops(images, config, indices, epoch, seed):
    """Returns random parts of images, resized to their size, float32: random resized crops (Szegedy et al. 2014).

    The area is uniform from `config.crop_scale` to 1, the aspect ratio log-uniform up to `MAX_ASPECT_RATIO` and clipped
    to the image, and interpolation bilinear. Arguments are those of `flip_and_shift`.
    """
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    uniform = tf.random.stateless_uniform((5, batch), seed)
    area = config.crop_scale + (1 - config.crop_scale) * uniform[0]
    ratio = tf.exp(math.log(MAX_ASPECT_RATIO) * (2 * uniform[1] - 1))
    sizes = tf.minimum(tf.sqrt(area / ratio), 1.0), tf.minimum(tf.sqrt(area * ratio), 1.0)  # fractions of the image
    bounds = []
    for length, size, position in zip((height, width), sizes, (uniform[2], uniform[3]), strict=True):
        # The centers of the first and the last pixel of the crop, in pixels of the image.
        first = ((1 - size) * position + 0.5 * size / length) * length - 0.5
        last = first + size * (length - 1)
        bounds.append([tf.clip_by_value(bound / max(length - 1, 1), 0.0, 1.0) for bound in (first, last)])
    (top, bottom), (left, right) = bounds
    is_flipped = _draw_flips(config, uniform[4], indices, epoch, seed)
    left, right = tf.where(is_flipped, right, left), tf.where(is_flipped, left, right)
    boxes = tf.stack([top, left, bottom, right], axis=1)
    return tf.image.crop_and_resize(images, boxes, tf.range(batch), (height, width))


def _draw_flips(config, uniform, indices, epoch, seed):
    """Returns which images are flipped, bool (batch,); `uniform` are random numbers in [0, 1), (batch,)."""
    if config.flip == "alternating":
        # Whether an image is flipped in the first epoch depends on its index; it alternates from then on.
        start = tf.random.experimental.index_shuffle(indices, tf.stack([seed[0], -1]), 2**40 - 1) % 2
        return (start + epoch) % 2 == 0
    return uniform < 0.5 if config.flip == "random" else tf.zeros_like(uniform, tf.bool)


def _reflect(positions, size):
    """Returns positions with those outside of [0, size - 1] reflected at the first or the last position."""
    return (size - 1) - tf.abs((size - 1) - tf.abs(positions))
