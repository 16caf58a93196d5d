"""Seeded batches whose content is a function of their number alone: any step can be the first."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.images.decoding import normalize
from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset, shuffle_indices


def noise_batches(images, batch_size, latent_dim, seed, first_step=0, meter=None):
    """Returns an endless dataset of (images, noise), for `fit` with `steps_per_epoch`.

    Batch k of epoch e takes k-th of the `len(images) // batch_size` whole batches of a permutation seeded by (seed,
    e), so that no image comes twice in an epoch; the rest is left to chance for the next. Starting at any step costs
    nothing.

    Args:
        images: uint8 (n, side, side, channels), n at least `batch_size`; an array or a memory map.
        batch_size: over all replicas.
        latent_dim: length of the noise vectors.
        seed: int, decides order and noise.
        first_step: number of the first batch, counted from the start of the first epoch.
        meter: `InputMeter` that is to measure how long batches are waited for, or None.

    Returns:
        A `tf.data.Dataset` of float32 images (batch_size, side, side, channels) in [-1, 1] and float32 normal noise
        (batch_size, latent_dim).
    """

    def batch(step):
        indices, _ = shuffle_indices(step, len(images), batch_size, seed)
        noise = tf.random.stateless_normal((batch_size, latent_dim), seed=tf.stack([tf.constant(seed, tf.int64), step]))
        return normalize(_rows(images, indices, batch_size)), noise

    return make_endless_dataset(batch, first_step, meter)


def labeled_batches(image_set, batch_size, seed, augment=None, first_step=0, meter=None):
    """Returns an endless dataset of (images, targets), for `fit` with `steps_per_epoch`; batches as in `noise_batches`.

    Args:
        image_set: labeled `ImageSet` of at least `batch_size` images.
        batch_size: over all replicas.
        seed: int, decides order and augmentation.
        augment: what `make_augmentation` returned, or None.
        first_step: number of the first batch, counted from the start of the first epoch.
        meter: `InputMeter` that is to measure how long batches are waited for, or None.

    Returns:
        A `tf.data.Dataset` of float32 images (batch_size, side, side, channels) in [-1, 1] and float32 targets
        (batch_size, classes), probabilities.
    """
    images, labels = image_set.images, tf.constant(image_set.labels)
    classes = len(image_set.classes)

    def batch(step):
        indices, epoch = shuffle_indices(step, len(images), batch_size, seed)
        pixels = _rows(images, indices, batch_size)
        targets = tf.one_hot(tf.gather(labels, indices), classes)
        if augment:
            pixels, targets = augment(pixels, targets, indices, epoch, tf.stack([tf.constant(seed, tf.int64), step]))
        return normalize(pixels), tf.ensure_shape(targets, (batch_size, classes))

    return make_endless_dataset(batch, first_step, meter)


def evaluation_batches(image_set, batch_size):
    """Returns a dataset of (images, targets, weights) that holds every image once, in order, for `evaluate`.

    The last batch is filled up with copies of the first image whose weight is 0, so that all batches have one shape and
    any number of replicas that divides it can share them.

    Args:
        image_set: labeled `ImageSet`.
        batch_size: over all replicas.

    Returns:
        A `tf.data.Dataset` of known cardinality: float32 images (batch_size, side, side, channels) in [-1, 1], float32
        targets (batch_size, classes) and float32 weights (batch_size,), 1 or 0.
    """
    count = len(image_set.images)
    labels = tf.constant(image_set.labels)

    def batch(step):
        places = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        weights = tf.cast(places < count, tf.float32)
        places = tf.where(places < count, places, 0)
        targets = tf.one_hot(tf.gather(labels, places), len(image_set.classes))
        return normalize(_rows(image_set.images, places, batch_size)), targets, weights

    return disable_autotune(
        tf.data.Dataset.range(-(-count // batch_size)).map(batch, 2, deterministic=True).prefetch(2)
    )


def _rows(images, indices, batch_size):
    pixels = tf.numpy_function(lambda places: images[places], [indices], np.uint8, stateful=False)
    return tf.ensure_shape(pixels, (batch_size, *images.shape[1:]))
