"""The GELU against Keras' own, and against Python's `math.erf`."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.layers.gelu import gelu

PLACES = np.linspace(-9, 9, 721)


def value_and_gradient(function, x, upstream=1.0, jit_compile=False):
    @tf.function(jit_compile=jit_compile)
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x, output_gradients=tf.cast(upstream, x.dtype))

    return [np.array(tf.cast(found, tf.float64)) for found in both(tf.constant(x))]


def exact(places):
    cdf = np.array([0.5 * math.erfc(-place / math.sqrt(2)) for place in places])
    return places * cdf, cdf + places * np.exp(-0.5 * places**2) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-15), ("float32", 1e-6), ("float16", 2**-11), ("bfloat16", 2**-8)]
)
def test_values_and_gradients_are_exact_to_the_rounding_of_the_type(dtype, tolerance):
    x = tf.cast(PLACES, dtype)
    for found, expected in zip(value_and_gradient(gelu, x), exact(tf.cast(x, tf.float64).numpy()), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_is_that_of_keras(jit_compile):
    x, upstream = PLACES.astype(np.float32), np.sin(PLACES)
    ours = value_and_gradient(gelu, x, upstream, jit_compile)
    for found, expected in zip(ours, value_and_gradient(keras.activations.gelu, x, upstream), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_far_out_it_is_zero_or_the_identity():
    for dtype in (tf.float32, tf.bfloat16):
        value, gradient = value_and_gradient(gelu, tf.constant([-1e4, 1e4], dtype))
        np.testing.assert_array_equal(value, [0, np.float64(tf.cast(tf.constant(1e4, dtype), tf.float64))])
        np.testing.assert_array_equal(gradient, [0, 1])


def test_its_gradient_has_a_gradient():
    x = tf.constant([0.5], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = gelu(x)
        slope = inner.gradient(y, x)
    # (x P(X <= x))'' = (2 - x^2) times the density.
    expected = (2 - 0.25) * math.exp(-0.125) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(outer.gradient(slope, x), [expected], rtol=1e-12)


def test_models_with_it_are_saved_and_loaded(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Activation(gelu)(keras.layers.Dense(3, activation=gelu)(x)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(tf.ones((2, 4))), model(tf.ones((2, 4))))


def test_keras_still_takes_the_slow_kernel():
    # The day this fails Keras' own may be as fast.
    graph = tf.function(keras.activations.gelu).get_concrete_function(tf.TensorSpec((2,))).graph
    assert "Erfc" in {op.type for op in graph.get_operations()}
