"""Augmentation of batches of training images, deterministic for a given seed."""

import keras
import tensorflow as tf

from karpa_tf.keras_compat import SeededRandAugment, TensorSeedGenerator


def make_augmentation(config, shape):
    """Returns the function `augment(images, targets, indices, epoch, seed)` of an `AugmentationConfig`.

    Its arguments are:

    - images: uint8 (batch, height, width, channels).
    - targets: float32 (batch, classes).
    - indices: int64 (batch,), indices of the examples in the data set.
    - epoch: int64 scalar.
    - seed: int64 (2,), different for every batch.

    It returns images, float32 in [0, 255], and targets, which depend on its arguments only.

    Args:
        config: an `AugmentationConfig`.
        shape: (height, width, channels) of the images.
    """
    options = {"value_range": (0, 255), "seed": 0}
    layers = []
    if config.randaugment:
        layers.append(SeededRandAugment(factor=config.randaugment, **options))
    if config.cutout:
        layers.append(keras.layers.RandomErasing((1.0, 1.0), (0.0, config.cutout), fill_value=127.5, **options))
    if config.mixup:
        layers.append(keras.layers.MixUp(config.mixup, seed=0))
    if config.cutmix:
        layers.append(keras.layers.CutMix((config.cutmix, config.cutmix), seed=0))
    for layer in layers:
        layer.build((None, *shape))

    def augment(images, targets, indices, epoch, seed):
        images = _flip_and_shift(images, config, indices, epoch, seed)
        images = tf.cast(images, tf.float32)
        for number, layer in enumerate(layers):
            # Replaces the layer's own seed generator, whose state would depend on the previous batches.
            generator = TensorSeedGenerator(seed + tf.constant([0, 1_000_003 * (number + 1)], tf.int64))
            transformation = layer.get_random_transformation(images, training=True, seed=generator)
            images = layer.transform_images(images, transformation, training=True)
            targets = layer.transform_labels(targets, transformation, training=True)
        return tf.ensure_shape(images, (None, *shape)), targets

    return augment


def _flip_and_shift(images, config, indices, epoch, seed):
    """Flips and shifts images by a single gather; the border is filled by reflection."""
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
    if config.flip == "random":
        columns = tf.where(uniform[2][:, None] < 0.5, columns[:, ::-1], columns)
    elif config.flip == "alternating":
        # Whether an image is flipped in the first epoch depends on its index; it alternates from then on.
        start = tf.random.experimental.index_shuffle(indices, tf.stack([seed[0], -1]), 2**40 - 1) % 2
        columns = tf.where(((start + epoch) % 2 == 0)[:, None], columns[:, ::-1], columns)
    columns = _reflect(columns + right[:, None], width)
    pixels = tf.reshape(rows[:, :, None] * width + columns[:, None, :], (batch, -1))
    flat = tf.gather(tf.reshape(images, (batch, height * width, -1)), pixels, batch_dims=1)
    return tf.reshape(flat, tf.shape(images))


def _reflect(positions, size):
    """Returns positions with those outside of [0, size - 1] reflected at the first or the last position."""
    return (size - 1) - tf.abs((size - 1) - tf.abs(positions))
