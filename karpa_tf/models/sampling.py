"""From seeds to pixels: the same in training, in sampling and in what is exported."""

import tensorflow as tf


def noise_from_seeds(seeds, latent_dim):
    """Returns standard normal noise, float32 (batch, latent_dim); a row depends on its own seed alone.

    Args:
        seeds: int64 (batch,).
        latent_dim: length of a noise vector.
    """

    def row(seed):
        return tf.random.stateless_normal((latent_dim,), seed=tf.stack([seed, tf.zeros_like(seed)]))

    noise = tf.map_fn(row, seeds, fn_output_signature=tf.TensorSpec((latent_dim,), tf.float32))
    return tf.ensure_shape(noise, (None, latent_dim))


def to_pixels(images):
    """Returns uint8 images (batch, height, width, channels) from floats in [-1, 1]; what lies outside is clipped."""
    return tf.cast(tf.round(tf.clip_by_value((images + 1) * 127.5, 0, 255)), tf.uint8)


def interpolate(start, end, count):
    """Returns `count` noise vectors on the great circle from `start` to `end`, float32 (count, latent_dim).

    Spherical interpolation (White 2016, section 2.1): a straight line would leave the shell near which normal noise
    of many dimensions lies.

    Args:
        start: float32 (latent_dim,).
        end: float32 (latent_dim,), not parallel to `start`.
        count: number of vectors, both ends included.
    """
    cosine = tf.reduce_sum(start * end) / (tf.norm(start) * tf.norm(end))
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    share = tf.linspace(0.0, 1.0, count)[:, None]
    return (tf.sin((1 - share) * angle) * start + tf.sin(share * angle) * end) / tf.sin(angle)
