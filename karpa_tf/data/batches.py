"""Seeded batches whose content is a function of their number alone: any step can be the first."""

import numpy as np
import tensorflow as tf


def noise_batches(images, batch_size, latent_dim, seed, first_step=0):
    """Returns an endless dataset of (images, noise), for `fit` with `steps_per_epoch`.

    Batch k of epoch e takes k-th of the `len(images) // batch_size` whole batches of a permutation seeded by (seed,
    e), so that no picture comes twice in an epoch; the rest is left to chance for the next. Starting at any step costs
    nothing.

    Args:
        images: uint8 (n, side, side, channels), n at least `batch_size`; an array or a memory map.
        batch_size: over all replicas.
        latent_dim: length of the noise vectors.
        seed: int, decides order and noise.
        first_step: number of the first batch, counted from the start of the first epoch.

    Returns:
        A `tf.data.Dataset` of float32 images (batch_size, side, side, channels) in [-1, 1] and float32 normal noise
        (batch_size, latent_dim).
    """
    steps_per_epoch = len(images) // batch_size

    def read(indices):
        return images[indices]

    def batch(step):
        epoch, position = step // steps_per_epoch, step % steps_per_epoch
        indices = tf.random.experimental.index_shuffle(
            position * batch_size + tf.range(batch_size, dtype=tf.int64),
            seed=tf.stack([epoch, tf.constant(seed, tf.int64)]),
            max_index=len(images) - 1,
        )
        pixels = tf.numpy_function(read, [indices], np.uint8, stateful=False)
        pixels = tf.ensure_shape(pixels, (batch_size, *images.shape[1:]))
        noise = tf.random.stateless_normal((batch_size, latent_dim), seed=tf.stack([tf.constant(seed, tf.int64), step]))
        return tf.cast(pixels, tf.float32) / 127.5 - 1, noise

    dataset = tf.data.Dataset.counter(first_step).map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)
    options = tf.data.Options()
    # Autotuning stalls the end of iterators by up to seconds; the numbers above are given by hand.
    options.autotune.enabled = False
    return dataset.with_options(options)
