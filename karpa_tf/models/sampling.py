"""Noise vectors and pixels, computed in the same way in training, sampling and exported models."""

import numpy as np
import tensorflow as tf


def noise_from_seeds(seeds, latent_dim):
    """Returns standard normal noise, float32 (batch, latent_dim), each row of which depends on its seed only.

    Args:
        seeds: int64 (batch,).
        latent_dim: size of a noise vector.
    """

    def draw_row(seed):
        return tf.random.stateless_normal((latent_dim,), seed=tf.stack([seed, tf.zeros_like(seed)]))

    noise = tf.map_fn(draw_row, seeds, fn_output_signature=tf.TensorSpec((latent_dim,), tf.float32))
    return tf.ensure_shape(noise, (None, latent_dim))


def fixed_inputs(latent_dim, count, labels=None):
    """Returns inputs of a generator, a list of the noise of the first seeds and, if there are any, labels, as arrays.

    Args:
        latent_dim: size of a noise vector.
        count: number of rows.
        labels: int (n,), repeated in order, or None.
    """
    noise = noise_from_seeds(tf.range(count, dtype=tf.int64), latent_dim).numpy()
    return [noise] if labels is None else [noise, np.resize(labels, count).astype(np.int32)]


def to_pixels(images):
    """Returns uint8 images (batch, height, width, channels) from floats in [-1, 1]; values outside are clipped."""
    return tf.cast(tf.round(tf.clip_by_value((images + 1) * 127.5, 0, 255)), tf.uint8)


def truncate(noise, threshold):
    """Returns noise of the normal distribution cut at +-`threshold`, of the same shape as standard normal `noise`.

    Images of cut noise are more alike and more typical (Brock et al. 2018, section 3.1). By inversion of the
    distribution functions instead of by drawing again: larger numbers stay larger, so that the image of a seed changes
    little by little.

    Args:
        noise: float32 (batch, latent_dim).
        threshold: float above 0.
    """
    limit = tf.constant(threshold, tf.float64)
    low, high = _normal_distribution(-limit), _normal_distribution(limit)
    quantiles = low + (high - low) * _normal_distribution(tf.cast(noise, tf.float64))
    return tf.cast(tf.clip_by_value(tf.math.ndtri(quantiles), -limit, limit), tf.float32)


def _normal_distribution(values):
    return (1 + tf.math.erf(values / 2**0.5)) / 2


def interpolate_seeds(seed, latent_dim, count, seeds=2):
    """Returns noise from that of `seed` through those of the next ones, float32 (count, latent_dim).

    Args:
        seed: the first seed.
        latent_dim: size of a noise vector.
        count: number of vectors.
        seeds: number of seeds; from three on, the path leads from the last back to the first.
    """
    points = noise_from_seeds(tf.range(seed, seed + seeds, dtype=tf.int64), latent_dim)
    if seeds == 2:
        return interpolate(points[0], points[1], count)
    ends = tf.roll(points, -1, axis=0)
    # Evenly spaced over the whole loop; its last vector is the one before the first.
    lengths = [(index + 1) * count // seeds - index * count // seeds for index in range(seeds)]
    return tf.concat(
        [
            interpolate(start, end, length + 1)[:-1]
            for start, end, length in zip(tf.unstack(points), tf.unstack(ends), lengths, strict=True)
        ],
        axis=0,
    )


def interpolate(start, end, count):
    """Returns `count` noise vectors from `start` to `end` by spherical interpolation, float32 (count, latent_dim).

    They lie on the great circle through both (White 2016, section 2.1). On a straight line the norm would be smaller in
    the middle than that of almost all normal noise vectors of many dimensions.

    Args:
        start: float32 (latent_dim,).
        end: float32 (latent_dim,), not parallel to `start`.
        count: number of vectors, including `start` and `end`.
    """
    cosine = tf.reduce_sum(start * end) / (tf.norm(start) * tf.norm(end))
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    fraction = tf.linspace(0.0, 1.0, count)[:, None]
    return (tf.sin((1 - fraction) * angle) * start + tf.sin(fraction * angle) * end) / tf.sin(angle)
