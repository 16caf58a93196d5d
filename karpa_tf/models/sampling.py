"""Noise vectors and pixels, computed in the same way in training, sampling and exported models."""

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


def to_pixels(images):
    """Returns uint8 images (batch, height, width, channels) from floats in [-1, 1]; values outside are clipped."""
    return tf.cast(tf.round(tf.clip_by_value((images + 1) * 127.5, 0, 255)), tf.uint8)


def interpolate_seeds(seed, latent_dim, count):
    """Returns `interpolate` from the noise of a seed to that of the next one, float32 (count, latent_dim)."""
    start, end = noise_from_seeds(tf.constant([seed, seed + 1], tf.int64), latent_dim)
    return interpolate(start, end, count)


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
