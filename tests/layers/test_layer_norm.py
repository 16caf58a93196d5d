"""Layer normalization against Keras' layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_gradients import run_layer

from karpa_tf.layers.layer_norm import LayerNormalization

LAYERS = (LayerNormalization, keras.layers.LayerNormalization)

# For values of up to about ten; float32 has 24 significant bits, float16 11 and bfloat16 8. Keras rounds epsilon to
# float32.
TOLERANCE = {"float64": 1e-8, "float32": 2e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 6e-2}


def make_pair(shape, **arguments):
    """Returns this layer and Keras', with the same weights."""
    layers = [layer_class(**arguments) for layer_class in LAYERS]
    for layer in layers:
        layer.build(shape)
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 2, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def make_inputs(shape, dtype="float32"):
    return np.random.default_rng(1).normal(1, 2, shape).astype(dtype)


@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("shape", [(3, 5, 8), (6, 8), (2, 3, 4, 8)])
def test_outputs_and_gradients_match_keras(policy, shape):
    layers = make_pair(shape, dtype=policy, epsilon=1e-3)
    x = make_inputs(shape, "float64" if policy == "float64" else "float32")
    tolerance = TOLERANCE[policy]
    for result, expected in zip(*(run_layer(layer, x) for layer in layers), strict=True):
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


def test_they_match_with_xla():
    layers = make_pair((3, 5, 8), epsilon=1e-3)
    for result, expected in zip(*(run_layer(layer, make_inputs((3, 5, 8)), True) for layer in layers), strict=True):
        np.testing.assert_allclose(result, expected, rtol=2e-5, atol=2e-5)


def test_sums_are_float32_under_mixed_precision():
    # In bfloat16 the sum of 4,096 ones would be 256.
    layer, _ = make_pair((4096, 4), dtype="mixed_bfloat16")
    x = np.tile([[0.0, 1.0, 2.0, 3.0]], (4096, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(x), tf.float32))
    np.testing.assert_allclose(tape.gradient(loss, layer.beta.value), [4096] * 4)


def test_constant_rows_give_the_offset_and_finite_gradients():
    layer, _ = make_pair((2, 8), epsilon=1e-12)
    results = run_layer(layer, np.full((2, 8), 3.0, np.float32))
    np.testing.assert_array_equal(results[0], np.tile(layer.beta.numpy().astype(np.float64), (2, 1)))
    assert all(np.isfinite(result).all() for result in results)


def test_second_derivatives_match_keras():
    layers = make_pair((2, 5), dtype="float64")
    x = tf.constant(make_inputs((2, 5), "float64"))
    results = []
    for layer in layers:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(layer(x) ** 3)
            total = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        results.append(outer.gradient(total, x).numpy())
    np.testing.assert_allclose(*results, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling:UserWarning")
@pytest.mark.parametrize("arguments", [{"axis": 1}, {"axis": [1, 2]}, {"rms_scaling": True}, {"scale": False}])
def test_other_arguments_use_keras_implementation(arguments):
    layers = make_pair((3, 5, 8), **arguments)
    for result, expected in zip(*(run_layer(layer, make_inputs((3, 5, 8))) for layer in layers), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_it_has_fewer_operations_than_keras():
    # If this fails, Keras' layer may have become as fast: measure it.
    counts = []
    for layer in make_pair((64, 8), dtype="mixed_bfloat16"):

        def step(x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            return tape.gradient(y, [x, layer.gamma.value, layer.beta.value], output_gradients=y)

        graph = tf.function(step).get_concrete_function(tf.TensorSpec((64, 8), tf.bfloat16)).graph
        counts.append(sum(op.type in ("Mul", "Sub", "AddV2", "AddN", "Neg", "Sum") for op in graph.get_operations()))
    assert counts[0] < 0.8 * counts[1]


def test_a_model_is_saved_and_loaded(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, LayerNormalization(epsilon=1e-5)(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(make_inputs((2, 4))), model(make_inputs((2, 4))))
    assert [weight.name for weight in model.weights] == ["gamma", "beta"]
    assert model.layers[1].name.startswith("layer_normalization")
