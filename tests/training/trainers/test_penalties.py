"""Penalties against closed forms."""

import numpy as np
import tensorflow as tf

from karpa_tf.training.trainers.penalties import gradient_penalty, r1_penalty

REALS, FAKES = (np.random.default_rng(seed).normal(size=(4, 3, 3, 2)).astype(np.float32) for seed in (0, 1))


def squared_norm(images):
    return (images**2).sum((1, 2, 3))


def quadratic(images):
    """Returns |x|^2 / 2, whose gradient is x."""
    return tf.reduce_sum(tf.square(images), axis=(1, 2, 3))[:, None] / 2


def test_the_gradient_penalty_is_that_of_points_between_real_and_generated_images():
    fractions = np.array([0.0, 1.0, 0.25, 0.5], np.float32)
    between = fractions[:, None, None, None] * REALS + (1 - fractions[:, None, None, None]) * FAKES
    expected = (np.sqrt(squared_norm(between)) - 1) ** 2
    penalty = gradient_penalty(quadratic, tf.constant(REALS), tf.constant(FAKES), tf.constant(fractions))
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)


def test_the_r1_penalty_is_half_the_squared_norm_of_the_gradient_at_real_images():
    np.testing.assert_allclose(r1_penalty(quadratic, tf.constant(REALS)), squared_norm(REALS) / 2, rtol=1e-5)


def test_penalties_have_gradients_with_respect_to_the_weights():
    weights = tf.Variable(2.0)
    with tf.GradientTape(persistent=True) as tape:
        r1 = r1_penalty(lambda images: weights * quadratic(images), tf.constant(REALS))
        fractions = tf.ones(4)
        penalty = gradient_penalty(
            lambda images: weights * quadratic(images), tf.constant(REALS), tf.constant(FAKES), fractions
        )
    # R1 is w^2 |x|^2 / 2, and the gradient penalty (w |x| - 1)^2.
    np.testing.assert_allclose(tape.gradient(r1, weights), (2 * squared_norm(REALS)).sum(), rtol=1e-5)
    norms = np.sqrt(squared_norm(REALS))
    np.testing.assert_allclose(tape.gradient(penalty, weights), (2 * norms * (2 * norms - 1)).sum(), rtol=1e-5)


def test_a_discriminator_without_gradient_has_a_finite_penalty_and_derivative():
    weights = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(
            lambda images: weights * quadratic(images), tf.constant(REALS), tf.constant(FAKES), tf.ones(4)
        )
    np.testing.assert_allclose(penalty, 1.0, rtol=1e-5)
    assert np.isfinite(tape.gradient(penalty, weights).numpy())
