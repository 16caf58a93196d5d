"""Batches of images in which each batch depends only on its step, so that training can resume at any step."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from karpa_tf.data.images.decoding import normalize
from karpa_tf.data.images.image_files import ImageFiles
from karpa_tf.data.images.image_set import ImageSubset
from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset, shuffle_indices


@dataclasses.dataclass(frozen=True)
class NoiseBatches:
    """Batches of images and noise for GANs.

    Every epoch is a new permutation of the images, without its last, incomplete batch.
    """

    images: np.ndarray | ImageSubset | ImageFiles
    """uint8 (n, height, width, channels) with n at least the number of images in a batch; an array, a memory map, an
    `ImageSubset` or `ImageFiles`."""

    batch_size: int
    """Global batch size."""

    latent_dim: int
    """Size of the noise vectors."""

    labels: np.ndarray | None = None
    """int32 (n,), or None."""

    critic_steps: int = 0
    """Updates of the discriminator per batch, each with images of its own; 0 for one update of both networks."""

    uniforms: int = 0
    """Uniform random numbers per image."""

    def make(self, seed, first_step=0, meter=None):
        """Returns an infinite dataset of dicts, for `fit` with `steps_per_epoch`.

        Starting at a later step gives the same batches as skipping to it, at no cost.

        Args:
            seed: int; determines the order of the images and the random numbers.
            first_step: step of the first batch, counted from the start of the first epoch.
            meter: `InputMeter` that measures the time spent waiting for batches, or None.

        Returns:
            A `tf.data.Dataset` of dicts of `images`, float32 (batch_size, height, width, channels) in [-1, 1], standard
            normal `noise`, float32 (batch_size, latent_dim), and, if asked for, `labels`, int32 (batch_size,), and
            `uniform`, float32 (batch_size, uniforms) in [0, 1). With `critic_steps` all have a second axis: `images`
            and `labels` of that length, `noise` and `uniform` of one more, the last for the generator's update.
        """
        return make_endless_dataset(functools.partial(self._make_batch, seed), first_step, meter)

    def _make_batch(self, seed, step):
        count = self.batch_size * max(self.critic_steps, 1)
        indices, _ = shuffle_indices(step, len(self.images), count, seed)
        batch = {
            "images": self._split(normalize(gather_images(self.images, indices)), self.critic_steps),
            "noise": self._draw(tf.random.stateless_normal, self.latent_dim, [seed, step]),
        }
        if self.labels is not None:
            batch["labels"] = self._split(tf.gather(tf.constant(self.labels, tf.int32), indices), self.critic_steps)
        if self.uniforms:
            batch["uniform"] = self._draw(tf.random.stateless_uniform, self.uniforms, [seed + 2**31, step])
        return batch

    def _split(self, values, parts):
        """Returns values (batch_size * parts, ...) as (batch_size, parts, ...); unchanged without parts.

        A replica's part of a batch then has images for every update.
        """
        return tf.reshape(values, (self.batch_size, parts, *values.shape[1:])) if parts else values

    def _draw(self, draw, size, seed):
        parts = (self.critic_steps + 1,) if self.critic_steps else ()
        return draw((self.batch_size, *parts, size), seed=tf.stack([tf.cast(value, tf.int64) for value in seed]))


def make_labeled_batches(image_set, batch_size, seed, augment=None, crop_scale=1.0, first_step=0, meter=None):
    """Returns an infinite dataset of (images, targets), for `fit` with `steps_per_epoch`.

    The order of the images is that of `NoiseBatches`.

    Args:
        image_set: labeled `ImageSet` of at least `batch_size` images; with features instead of images, float32
            (n, features), these are returned as they are.
        batch_size: global batch size.
        seed: int; determines the order of the images and their augmentation.
        augment: function returned by `make_augmentation`, or None.
        crop_scale: of an `ImageSet` of `ImageFiles`; below 1, images are random crops instead of central squares, with
            at least this fraction of the area of the whole image.
        first_step: step of the first batch, counted from the start of the first epoch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.

    Returns:
        A `tf.data.Dataset` of float32 images (batch_size, height, width, channels) in [-1, 1] and target
        probabilities, float32 (batch_size, classes).
    """
    images, labels = image_set.images, tf.constant(image_set.labels)
    classes, to_inputs = len(image_set.classes), _select_normalization(image_set)

    def make_batch(step):
        indices, epoch = shuffle_indices(step, len(images), batch_size, seed)
        seeds = tf.stack([tf.constant(seed, tf.int64), step])
        pixels = gather_images(images, indices, crop_scale, seeds)
        targets = tf.one_hot(tf.gather(labels, indices), classes)
        if augment:
            pixels, targets = augment(pixels, targets, indices, epoch, seeds)
        return to_inputs(pixels), tf.ensure_shape(targets, (batch_size, classes))

    return make_endless_dataset(make_batch, first_step, meter)


def make_evaluation_batches(image_set, batch_size):
    """Returns a finite dataset of (images, targets, weights) with every image once, in order, for `evaluate`.

    The last batch is padded with copies of the first image with weight 0, so that all batches have the same shape and
    can be distributed over any number of replicas that divides it.

    Args:
        image_set: labeled `ImageSet`, of images or features.
        batch_size: global batch size.

    Returns:
        A `tf.data.Dataset` of known cardinality: float32 images (batch_size, height, width, channels) in [-1, 1],
        one-hot targets, float32 (batch_size, classes), and sample weights, float32 (batch_size,), 1 or 0.
    """
    count, to_inputs = len(image_set.images), _select_normalization(image_set)
    labels = tf.constant(image_set.labels)

    def make_batch(step):
        indices = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        weights = tf.cast(indices < count, tf.float32)
        indices = tf.where(indices < count, indices, 0)
        targets = tf.one_hot(tf.gather(labels, indices), len(image_set.classes))
        return to_inputs(gather_images(image_set.images, indices)), targets, weights

    return disable_autotune(
        tf.data.Dataset.range(-(-count // batch_size)).map(make_batch, 2, deterministic=True).prefetch(2)
    )


def _select_normalization(image_set):
    """Returns `normalize`, or the identity for features, which are no uint8."""
    return normalize if image_set.images.dtype == np.uint8 else tf.identity


def gather_images(images, indices, crop_scale=1.0, seed=None):
    """Returns images of a set, or its features, (batch, height, width, channels), in TensorFlow ops.

    Args:
        images: those of an `ImageSet`.
        indices: int64 (batch,).
        crop_scale: of `ImageFiles`; below 1, images are random crops, as `make_labeled_batches` says.
        seed: int64 (2,), different for every batch, for random crops.
    """
    if crop_scale < 1:
        return images.gather_crops(indices, crop_scale, seed)
    if isinstance(images, ImageFiles):
        return images.gather_squares(indices)
    pixels = tf.numpy_function(lambda indices: images[indices], [indices], images.dtype, stateful=False)
    return tf.ensure_shape(pixels, (*indices.shape, *images.shape[1:]))
