"""Batches of images with masks, in which each batch depends only on its step, so that training can resume anywhere."""

import tensorflow as tf

from karpa_tf.data.images.batches import gather_images
from karpa_tf.data.images.decoding import normalize
from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset, shuffle_indices

MASKS = 2**33
"""Added to the seed of masks, which must differ from that of augmentation."""


def make_masked_batches(image_set, config, augment=None, crop_scale=1.0, first_step=0, meter=None):
    """Returns an infinite dataset of dicts, for `fit` with `steps_per_epoch`.

    - images: float32 (batch_size, height, width, channels) in [-1, 1].
    - visible, masked: int32 (batch_size, patches), a random division of the patches of each image, in random order.
    - weights: float32 (batch_size,), 1.

    Args:
        image_set: `ImageSet` of at least `batch_size` images.
        config: a `MaskedImageConfig`: batch_size, seed, num_patches and num_masked are used.
        augment: function returned by `make_augmentation`, or None.
        crop_scale: as for `make_labeled_batches`.
        first_step: step of the first batch, counted from the start of the first epoch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.
    """
    images, batch_size = image_set.images, config.batch_size

    def make_batch(step):
        indices, epoch = shuffle_indices(step, len(images), batch_size, config.seed)
        seed = tf.stack([tf.constant(config.seed, tf.int64), step])
        pixels = gather_images(images, indices, crop_scale, seed)
        if augment:
            pixels, _ = augment(pixels, tf.zeros((batch_size, 1)), indices, epoch, seed)
        uniform = tf.random.stateless_uniform(
            (batch_size, config.num_patches), seed + tf.constant([MASKS, 0], tf.int64)
        )
        return {"images": normalize(pixels), "weights": tf.ones(batch_size), **_divide(uniform, config.num_masked)}

    return make_endless_dataset(make_batch, first_step, meter)


def make_held_out_batches(image_set, config):
    """Returns a finite dataset of the same dicts with every image once, in order, for `evaluate`.

    The mask of an image depends on its index only. The last batch is padded with copies of the first image with
    weight 0. Arguments are those of `make_masked_batches`.
    """
    images, batch_size = image_set.images, config.batch_size

    def make_batch(step):
        indices = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        weights = tf.cast(indices < len(images), tf.float32)
        indices = tf.where(indices < len(images), indices, 0)
        uniform = tf.map_fn(
            lambda index: tf.random.stateless_uniform((config.num_patches,), tf.stack([MASKS, index])),
            indices,
            fn_output_signature=tf.float32,
        )
        pixels = gather_images(images, indices)
        return {"images": normalize(pixels), "weights": weights, **_divide(uniform, config.num_masked)}

    steps = tf.data.Dataset.range(-(-len(images) // batch_size))
    return disable_autotune(steps.map(make_batch, 2, deterministic=True).prefetch(2))


def _divide(uniform, num_masked):
    """Returns a random division of patches by random numbers, float32 (batch, patches), as a dict."""
    order = tf.argsort(uniform, axis=-1)
    return {"masked": order[:, :num_masked], "visible": order[:, num_masked:]}
