"""Penalties on the gradient of a discriminator with respect to its images, one value per example."""

import tensorflow as tf


def gradient_penalty(discriminate, reals, fakes, fractions):
    """Returns `(|grad D(x)| - 1)^2`, float32 (batch,), at x between real and generated images.

    Gulrajani et al. 2017, equation 3.

    Args:
        discriminate: function of images that returns logits (batch, 1), each of which depends on its image only.
        reals: float32 (batch, height, width, channels).
        fakes: float32, the same shape.
        fractions: float32 (batch,) in [0, 1]; 1 is the real image.
    """
    fractions = fractions[:, None, None, None]
    images = fractions * reals + (1 - fractions) * fakes
    # The square root has no gradient at 0.
    norms = tf.sqrt(_squared_norms(discriminate, images) + 1e-12)
    return tf.square(norms - 1)


def r1_penalty(discriminate, reals):
    """Returns `|grad D(x)|^2 / 2`, float32 (batch,), at real images (Mescheder et al. 2018, equation 9).

    Args:
        discriminate: as for `gradient_penalty`.
        reals: float32 (batch, height, width, channels).
    """
    return _squared_norms(discriminate, reals) / 2


def _squared_norms(discriminate, images):
    """Returns the squared norms of the gradients of each logit with respect to its image, float32 (batch,)."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = discriminate(images)
    return tf.reduce_sum(tf.square(tape.gradient(logits, images)), axis=(1, 2, 3))
