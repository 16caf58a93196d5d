"""Augmentation of batches of training images, deterministic for a given seed."""

import dataclasses

import keras
import tensorflow as tf

from karpa_tf.data.images.geometry import flip_and_resize_crops, flip_and_shift
from karpa_tf.data.images.image_files import ImageFiles
from karpa_tf.keras_compat import SeededRandAugment, TensorSeedGenerator

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness that is seen (ITU-R BT.601)."""


def separate_crops(config, images):
    """Returns an `AugmentationConfig` without random crops, and their scale, if `images` are `ImageFiles`.

    Crops are then of the whole images, before augmentation. For other images the config is returned as it is, and 1.
    """
    if not isinstance(images, ImageFiles):
        return config, 1.0
    return dataclasses.replace(config, crop_scale=1.0), config.crop_scale


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
    layers, mixing = [], []
    if config.randaugment:
        layers.append(SeededRandAugment(factor=config.randaugment, **options))
    if config.cutout:
        probability = (config.cutout_probability, config.cutout_probability)
        layers.append(keras.layers.RandomErasing(probability, (0.0, config.cutout), fill_value=127.5, **options))
    if config.mixup:
        mixing.append(keras.layers.MixUp(config.mixup, seed=0))
    if config.cutmix:
        mixing.append(keras.layers.CutMix((config.cutmix, config.cutmix), seed=0))
    for layer in layers + mixing:
        layer.build((None, *shape))
    move = flip_and_resize_crops if config.crop_scale < 1 else flip_and_shift

    def augment(images, targets, indices, epoch, seed):
        images = tf.cast(move(images, config, indices, epoch, seed), tf.float32)
        if config.color_jitter:
            images = _jitter_colors(images, config.color_jitter, seed + tf.constant([0, 2**40], tf.int64))
        for number, layer in enumerate(layers):
            images, targets = _apply(layer, number, images, targets, seed)
        if mixing:
            choice = tf.random.stateless_uniform((), seed + tf.constant([0, 2**41], tf.int64), 0, len(mixing), tf.int32)
            branches = [lambda layer=layer: _apply(layer, len(layers), images, targets, seed) for layer in mixing]
            images, targets = tf.switch_case(choice, branches)
        return tf.ensure_shape(images, (None, *shape)), targets

    return augment


def _apply(layer, number, images, targets, seed):
    """Returns images and targets transformed by a Keras layer; `number` tells apart the random numbers of layers."""
    # Replaces the layer's own seed generator, whose state would depend on the previous batches.
    generator = TensorSeedGenerator(seed + tf.constant([0, 1_000_003 * (number + 1)], tf.int64))
    transformation = layer.get_random_transformation(images, training=True, seed=generator)
    images = layer.transform_images(images, transformation, training=True)
    return images, layer.transform_labels(targets, transformation, training=True)


def _jitter_colors(images, strength, seed):
    """Returns images in [0, 255] with brightness, contrast and saturation multiplied by random factors.

    Args:
        images: float32 (batch, height, width, channels) in [0, 255].
        strength: factors are uniform from 1 - strength to 1 + strength, for every image.
        seed: int64 (2,).
    """
    factors = tf.random.stateless_uniform((3, tf.shape(images)[0], 1, 1, 1), seed, 1 - strength, 1 + strength)
    images = images * factors[0]
    weights = LUMINANCE if images.shape[-1] == 3 else [1.0]
    gray = tf.reduce_sum(images * tf.constant(weights, tf.float32), axis=-1, keepdims=True)
    mean = tf.reduce_mean(gray, axis=(1, 2), keepdims=True)
    images, gray = (mean + factors[1] * (values - mean) for values in (images, gray))
    return tf.clip_by_value(gray + factors[2] * (images - gray), 0.0, 255.0)
