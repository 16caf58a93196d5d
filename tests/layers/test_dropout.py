"""Dropout with random bytes: its probabilities, its gradient and its random state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.layers.dropout import Dropout, StochasticDepth


def draw_dropped(rate, shape, seed=0):
    """Returns a bool array, True where an element was dropped."""
    return np.array(Dropout(rate, seed=seed)(tf.ones(shape), training=True)) == 0


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_the_rate_is_dropped_and_the_rest_is_scaled_up(rate):
    outputs = np.array(Dropout(rate, seed=0)(tf.ones((1000, 1000)), training=True))
    # Five standard deviations of a million draws, and a threshold that is off by up to 1 / 256.
    np.testing.assert_allclose((outputs == 0).mean(), rate, atol=5 * (rate * (1 - rate)) ** 0.5 / 1000 + 1 / 256)
    np.testing.assert_allclose(outputs[outputs != 0], 1 / (1 - rate), rtol=1e-6)


@pytest.mark.parametrize("rate", [0.001, 0.3, 0.75])
def test_the_probability_over_many_calls_is_exactly_the_rate(rate):
    layer = Dropout(rate, seed=0)
    call = tf.function(lambda: tf.reduce_mean(tf.cast(layer(tf.ones(4096), training=True) == 0, tf.float32)))
    fraction = np.mean([call() for _ in range(400)])
    # The threshold for 0.001 is 0 or 1; five standard deviations of its rounding and of the draws.
    rounding = (256 * rate % 1) * (1 - 256 * rate % 1)
    np.testing.assert_allclose(fraction, rate, atol=5 * (rounding / 256**2 / 400 + rate / 400 / 4096) ** 0.5)


def test_the_four_elements_of_one_random_uint32_are_dropped_independently():
    is_dropped = draw_dropped(0.5, (250_000, 4))
    both_dropped = np.mean(is_dropped[:, :, None] & is_dropped[:, None, :], axis=0)
    np.testing.assert_allclose(both_dropped[~np.eye(4, dtype=bool)], is_dropped.mean() ** 2, atol=5e-3)


def test_masks_differ_between_calls_and_seeds_and_depend_on_the_state_only():
    layer, x = Dropout(0.5, seed=1), tf.ones((8, 8))
    first, second = layer(x, training=True), layer(x, training=True)
    assert (np.array(first) != np.array(second)).any()
    assert (np.array(first) != np.array(Dropout(0.5, seed=2)(x, training=True))).any()
    layer.seed_generator.state.assign(Dropout(0.5, seed=1).seed_generator.state)
    np.testing.assert_array_equal(layer(x, training=True), first)


def test_stochastic_depth_drops_whole_examples():
    outputs = np.array(StochasticDepth(0.3, seed=0)(tf.ones((20_000, 2, 3)), training=True))
    assert (outputs == outputs[:, :1, :1]).all()
    values, counts = np.unique(outputs[:, 0, 0], return_counts=True)
    np.testing.assert_allclose(values, [0, 1 / 0.7], rtol=1e-6)
    np.testing.assert_allclose(counts[0] / 20_000, 0.3, atol=5 * (0.3 * 0.7 / 20_000) ** 0.5)
    np.testing.assert_array_equal(StochasticDepth(0.3)(tf.ones((9, 2)), training=False), 1)


@pytest.mark.parametrize("shape", [(6,), (3, 1), (3, 5), (2, 3, 3, 8)])
def test_the_gradient_is_the_mask(shape):
    x = tf.random.normal(shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = Dropout(0.4, seed=0)(x, training=True)
    np.testing.assert_allclose(tape.gradient(y, x) * x, y, rtol=1e-6)


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_nothing_is_dropped_in_inference_or_at_rate_zero(rate, training):
    x = tf.random.normal((4, 4))
    np.testing.assert_array_equal(Dropout(rate)(x, training=training), x)


def trace_with_unknown_size(layer):
    return tf.function(lambda x: layer(x, training=True), input_signature=[tf.TensorSpec((None, None))])


def trace_with_known_size(layer):
    return tf.function(lambda x: layer(x, training=True), input_signature=[tf.TensorSpec((None, 8))])


@pytest.mark.parametrize(
    ("arguments", "trace"),
    [
        ({"rate": 0.5}, trace_with_unknown_size),
        ({"rate": 0.5, "noise_shape": (None, 1)}, trace_with_known_size),
        ({"rate": 0.999}, trace_with_known_size),
        ({"rate": 1.0}, trace_with_known_size),
    ],
)
def test_other_arguments_and_unknown_sizes_use_keras_implementation(arguments, trace):
    ours, theirs = (trace(cls(**arguments, seed=3)) for cls in (Dropout, keras.layers.Dropout))
    np.testing.assert_array_equal(ours(tf.ones((4, 8))), theirs(tf.ones((4, 8))))


def test_the_batch_size_may_be_unknown():
    assert (trace_with_known_size(Dropout(0.5, seed=0))(tf.ones((300, 8))).numpy() == 0).mean() == pytest.approx(
        0.5, abs=0.06
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_have_the_compute_dtype(policy):
    keras.config.set_dtype_policy(policy)
    outputs = Dropout(0.5)(tf.ones((64, 64)), training=True)
    assert outputs.dtype == tf.as_dtype(policy.removeprefix("mixed_"))
    assert set(np.array(tf.cast(outputs, tf.float32)).ravel()) == {0.0, 2.0}


def test_the_mask_is_the_same_with_xla():
    plain, compiled = (
        tf.function(lambda x, layer=layer: layer(x, training=True), jit_compile=jit)
        for layer, jit in ((Dropout(0.3, seed=5), False), (Dropout(0.3, seed=5), True))
    )
    np.testing.assert_allclose(plain(tf.ones((64, 64))), compiled(tf.ones((64, 64))), rtol=1e-6)


def test_replicas_draw_different_masks_and_their_states_stay_equal(two_replicas):
    with two_replicas.scope():
        layer = Dropout(0.5, seed=0)
    step = tf.function(lambda: layer(tf.ones((8, 8)), training=True))
    masks = [np.array(mask) for mask in two_replicas.experimental_local_results(two_replicas.run(step))]
    assert all((mask != other).any() for index, mask in enumerate(masks) for other in masks[:index])
    states = two_replicas.experimental_local_results(layer.seed_generator.state.value)
    for state in states[1:]:
        np.testing.assert_array_equal(state, states[0])


def test_a_model_is_saved_and_loaded(tmp_path):
    x = keras.Input((4,))
    keras.Model(x, Dropout(0.25, seed=7, name="dropout")(x)).save(tmp_path / "model.keras")
    layer = keras.models.load_model(tmp_path / "model.keras").get_layer("dropout")
    assert type(layer) is Dropout and (layer.rate, layer.seed) == (0.25, 7)


def test_keras_draws_a_float32_for_every_element():
    # If this fails, Keras' layer may have become as fast: measure it.
    layer = keras.layers.Dropout(0.5)
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.TensorSpec((2, 8))).graph
    draws = [op.outputs[0] for op in graph.get_operations() if op.type == "StatelessRandomUniformV2"]
    assert [(draw.dtype, tuple(draw.shape)) for draw in draws] == [(tf.float32, (2, 8))]
