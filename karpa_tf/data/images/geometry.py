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

    Their sizes are those of `draw_crop_sizes`, and interpolation is bilinear. Arguments are those of `flip_and_shift`.
    """
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    uniform = tf.random.stateless_uniform((5, batch), seed)
    sizes = draw_crop_sizes(uniform[0], uniform[1], config.crop_scale, width / height)
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


def draw_crops(heights, widths, crop_scale, seed):
    """Returns random parts of images of any size, int64 (batch, 4): top, left, rows and columns.

    Sizes are those of `draw_crop_sizes`, rounded, and positions are uniform.

    Args:
        heights: int64 (batch,).
        widths: int64 (batch,).
        crop_scale: as for `draw_crop_sizes`.
        seed: int64 (2,), different for every batch.
    """
    # Other numbers than those of the augmentation that follows.
    uniform = tf.random.stateless_uniform((4, tf.shape(heights)[0]), seed + tf.constant([0, 2**42], tf.int64))
    aspects = tf.cast(widths, tf.float32) / tf.cast(heights, tf.float32)
    starts, sizes = [], []
    for lengths, fractions, position in zip(
        (heights, widths),
        draw_crop_sizes(uniform[0], uniform[1], crop_scale, aspects),
        tf.unstack(uniform[2:]),
        strict=True,
    ):
        size = tf.maximum(tf.cast(tf.round(fractions * tf.cast(lengths, tf.float32)), tf.int64), 1)
        start = tf.cast(tf.floor(position * tf.cast(lengths - size + 1, tf.float32)), tf.int64)
        sizes.append(size)
        starts.append(tf.minimum(start, lengths - size))
    return tf.stack(starts + sizes, axis=1)


def draw_crop_sizes(area, ratio, crop_scale, aspect):
    """Returns heights and widths of random parts of images, as fractions of those of the images, float32 (batch,).

    The area is uniform from `crop_scale` to 1, as a fraction of the image's, and the aspect ratio log-uniform up to
    `MAX_ASPECT_RATIO`. What is then larger than the image is clipped to it, and so is the longer side of what is left,
    to `MAX_ASPECT_RATIO`.

    Args:
        area: uniform random numbers in [0, 1), (batch,).
        ratio: other such numbers.
        crop_scale: above 0, at most 1.
        aspect: width / height of the images, a number or float32 (batch,).
    """
    area = crop_scale + (1 - crop_scale) * area
    ratio = tf.exp(math.log(MAX_ASPECT_RATIO) * (2 * ratio - 1))
    height, width = tf.minimum(tf.sqrt(area * aspect / ratio), 1.0), tf.minimum(tf.sqrt(area * ratio / aspect), 1.0)
    return (
        tf.minimum(height, MAX_ASPECT_RATIO * width * aspect),
        tf.minimum(width, MAX_ASPECT_RATIO * height / aspect),
    )


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
