"""GELU against Keras' implementation, and against Python's `math.erfc`."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.layers.gelu import gelu

X = np.linspace(-9, 9, 721)


def compute(function, x, upstream=1.0, jit_compile=False):
    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x, output_gradients=tf.cast(upstream, x.dtype))

    return [np.array(tf.cast(result, tf.float64)) for result in value_and_gradient(tf.constant(x))]


def compute_in_numpy(x):
    """Returns the value and the derivative, float64."""
    cdf = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])
    return x * cdf, cdf + x * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-15), ("float32", 1e-6), ("float16", 2**-11), ("bfloat16", 2**-8)]
)
def test_values_and_gradients_are_exact_up_to_rounding(dtype, tolerance):
    x = tf.cast(X, dtype)
    expected_results = compute_in_numpy(tf.cast(x, tf.float64).numpy())
    for result, expected in zip(compute(gelu, x), expected_results, strict=True):
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_values_and_gradients_match_keras(jit_compile):
    x, upstream = X.astype(np.float32), np.sin(X)
    ours = compute(gelu, x, upstream, jit_compile)
    for result, expected in zip(ours, compute(keras.activations.gelu, x, upstream), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_for_large_inputs_it_is_zero_or_the_identity():
    for dtype in (tf.float32, tf.bfloat16):
        value, gradient = compute(gelu, tf.constant([-1e4, 1e4], dtype))
        np.testing.assert_array_equal(value, [0, np.float64(tf.cast(tf.constant(1e4, dtype), tf.float64))])
        np.testing.assert_array_equal(gradient, [0, 1])


def test_second_derivative_is_exact():
    x = tf.constant([0.5], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = gelu(x)
        derivative = inner.gradient(y, x)
    # (x P(X <= x))'' = (2 - x^2) times the normal density.
    expected = (2 - 0.25) * math.exp(-0.125) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(outer.gradient(derivative, x), [expected], rtol=1e-12)


def test_a_model_is_saved_and_loaded(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Activation(gelu)(keras.layers.Dense(3, activation=gelu)(x)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(tf.ones((2, 4))), model(tf.ones((2, 4))))


def test_keras_uses_the_slow_kernel():
    # If this fails, Keras' implementation may have become as fast: measure it.
    graph = tf.function(keras.activations.gelu).get_concrete_function(tf.TensorSpec((2,))).graph
    assert "Erfc" in {op.type for op in graph.get_operations()}
