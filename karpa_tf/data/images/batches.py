"""Batches of images in which each batch depends only on its step, so that training can resume at any step."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.images.decoding import normalize
from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset, shuffle_indices


def make_noise_batches(images, batch_size, latent_dim, seed, first_step=0, meter=None):
    """Returns an infinite dataset of (images, noise), for `fit` with `steps_per_epoch`.

    Every epoch is a new permutation of the images, without its last, incomplete batch. Starting at a later step gives
    the same batches as skipping to it, at no cost.

    Args:
        images: uint8 (n, height, width, channels) with n >= batch_size; an array, a memory map or an `ImageSubset`.
        batch_size: global batch size.
        latent_dim: size of the noise vectors.
        seed: int; determines the order of the images and the noise.
        first_step: step of the first batch, counted from the start of the first epoch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.

    Returns:
        A `tf.data.Dataset` of float32 images (batch_size, height, width, channels) in [-1, 1] and standard normal
        noise, float32 (batch_size, latent_dim).
    """

    def make_batch(step):
        indices, _ = shuffle_indices(step, len(images), batch_size, seed)
        noise = tf.random.stateless_normal((batch_size, latent_dim), seed=tf.stack([tf.constant(seed, tf.int64), step]))
        return normalize(_gather(images, indices, batch_size)), noise

    return make_endless_dataset(make_batch, first_step, meter)


def make_labeled_batches(image_set, batch_size, seed, augment=None, first_step=0, meter=None):
    """Returns an infinite dataset of (images, targets), for `fit` with `steps_per_epoch`.

    The order of the images is that of `make_noise_batches`.

    Args:
        image_set: labeled `ImageSet` of at least `batch_size` images.
        batch_size: global batch size.
        seed: int; determines the order of the images and their augmentation.
        augment: function returned by `make_augmentation`, or None.
        first_step: step of the first batch, counted from the start of the first epoch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.

    Returns:
        A `tf.data.Dataset` of float32 images (batch_size, height, width, channels) in [-1, 1] and target
        probabilities, float32 (batch_size, classes).
    """
    images, labels = image_set.images, tf.constant(image_set.labels)
    classes = len(image_set.classes)

    def make_batch(step):
        indices, epoch = shuffle_indices(step, len(images), batch_size, seed)
        pixels = _gather(images, indices, batch_size)
        targets = tf.one_hot(tf.gather(labels, indices), classes)
        if augment:
            pixels, targets = augment(pixels, targets, indices, epoch, tf.stack([tf.constant(seed, tf.int64), step]))
        return normalize(pixels), tf.ensure_shape(targets, (batch_size, classes))

    return make_endless_dataset(make_batch, first_step, meter)


def make_evaluation_batches(image_set, batch_size):
    """Returns a finite dataset of (images, targets, weights) with every image once, in order, for `evaluate`.

    The last batch is padded with copies of the first image with weight 0, so that all batches have the same shape and
    can be distributed over any number of replicas that divides it.

    Args:
        image_set: labeled `ImageSet`.
        batch_size: global batch size.

    Returns:
        A `tf.data.Dataset` of known cardinality: float32 images (batch_size, height, width, channels) in [-1, 1],
        one-hot targets, float32 (batch_size, classes), and sample weights, float32 (batch_size,), 1 or 0.
    """
    count = len(image_set.images)
    labels = tf.constant(image_set.labels)

    def make_batch(step):
        indices = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        weights = tf.cast(indices < count, tf.float32)
        indices = tf.where(indices < count, indices, 0)
        targets = tf.one_hot(tf.gather(labels, indices), len(image_set.classes))
        return normalize(_gather(image_set.images, indices, batch_size)), targets, weights

    return disable_autotune(
        tf.data.Dataset.range(-(-count // batch_size)).map(make_batch, 2, deterministic=True).prefetch(2)
    )


def _gather(images, indices, batch_size):
    pixels = tf.numpy_function(lambda indices: images[indices], [indices], np.uint8, stateful=False)
    return tf.ensure_shape(pixels, (batch_size, *images.shape[1:]))
