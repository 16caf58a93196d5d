"""Changes to whole batches of training images, each a function of a seed."""

import keras
import tensorflow as tf


def make_augmentation(config, shape):
    """Returns a function that changes a batch as an `AugmentationConfig` says.

    It takes images, uint8 (batch, height, width, channels); targets, float32 (batch, classes); indices, int64
    (batch,), the examples' places in the set; the epoch, an int64 scalar; and a seed, int64 (2,), another one for each
    batch. It returns images, float32 in [0, 255], and targets. Same arguments, same result.

    Args:
        config: an `AugmentationConfig`.
        shape: (height, width, channels) of the images.
    """
    strength = {"value_range": (0, 255), "seed": 0}
    layers = []
    if config.randaugment:
        layers.append(_RandAugment(factor=config.randaugment, **strength))
    if config.cutout:
        layers.append(keras.layers.RandomErasing((1.0, 1.0), (0.0, config.cutout), fill_value=127.5, **strength))
    if config.mixup:
        layers.append(keras.layers.MixUp(config.mixup, seed=0))
    if config.cutmix:
        layers.append(keras.layers.CutMix((config.cutmix, config.cutmix), seed=0))
    for layer in layers:
        layer.build((None, *shape))

    def augment(images, targets, indices, epoch, seed):
        images = _moved(images, config, indices, epoch, seed)
        images = tf.cast(images, tf.float32)
        for number, layer in enumerate(layers):
            # The seed of a Keras layer is a state; this one is the batch's.
            batch_seed = _BatchSeed(seed + tf.constant([0, 1_000_003 * (number + 1)], tf.int64))
            transformation = layer.get_random_transformation(images, training=True, seed=batch_seed)
            images = layer.transform_images(images, transformation, training=True)
            targets = layer.transform_labels(targets, transformation, training=True)
        return tf.ensure_shape(images, (None, *shape)), targets

    return augment


def _moved(images, config, indices, epoch, seed):
    """Flips and shifts by one gather; the border is filled by reflection."""
    if config.flip == "none" and not config.crop_padding:
        return images
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    draws = tf.random.stateless_uniform((3, batch), seed)
    reach = config.crop_padding
    down, right = (tf.cast(tf.floor(draws[axis] * (2 * reach + 1)), tf.int32) - reach for axis in (0, 1))
    rows = _reflected(tf.range(height) + down[:, None], height)
    columns = tf.range(width)[None] + tf.zeros((batch, 1), tf.int32)
    if config.flip == "random":
        columns = tf.where(draws[2][:, None] < 0.5, columns[:, ::-1], columns)
    elif config.flip == "alternating":
        # Each image's side in the first epoch depends on its place in the set, and changes from then on.
        start = tf.random.experimental.index_shuffle(indices, tf.stack([seed[0], -1]), 2**40 - 1) % 2
        columns = tf.where(((start + epoch) % 2 == 0)[:, None], columns[:, ::-1], columns)
    columns = _reflected(columns + right[:, None], width)
    pixels = tf.reshape(rows[:, :, None] * width + columns[:, None, :], (batch, -1))
    flat = tf.gather(tf.reshape(images, (batch, height * width, -1)), pixels, batch_dims=1)
    return tf.reshape(flat, tf.shape(images))


def _reflected(places, size):
    """Returns places outside of 0 to size - 1 mirrored at the first or last one."""
    return (size - 1) - tf.abs((size - 1) - tf.abs(places))


class _RandAugment(keras.layers.RandAugment):
    """Draws from the seed that it is given; Keras 3.15's draws from a state of its own."""

    def get_random_transformation(self, data, training=True, seed=None):
        self._get_seed_generator = lambda backend=None: seed
        return super().get_random_transformation(data, training)


class _BatchSeed(keras.random.SeedGenerator):
    """Gives a sequence of seeds that starts at a tensor, int64 (2,), where Keras' own starts at a variable."""

    def __init__(self, start):  # not the parent's, which makes the variable
        self.start, self.given = tf.cast(start % 2**31, tf.int32), 0

    def next(self, ordered=True):
        self.given += 1
        return self.start + tf.constant([0, self.given], tf.int32)
