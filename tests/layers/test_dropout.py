"""Dropout by random bytes: its chances, its gradient, its states."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.layers.dropout import Dropout


def dropped(rate, shape, seed=0):
    return np.array(Dropout(rate, seed=seed)(tf.ones(shape), training=True)) == 0


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_so_many_are_dropped_and_what_is_kept_makes_up_for_them(rate):
    outputs = np.array(Dropout(rate, seed=0)(tf.ones((1000, 1000)), training=True))
    # Five standard deviations of a million draws, and a threshold that is off by up to one of 256.
    np.testing.assert_allclose((outputs == 0).mean(), rate, atol=5 * (rate * (1 - rate)) ** 0.5 / 1000 + 1 / 256)
    np.testing.assert_allclose(outputs[outputs != 0], 1 / (1 - rate), rtol=1e-6)


@pytest.mark.parametrize("rate", [0.001, 0.3, 0.75])
def test_over_many_calls_the_chance_is_the_rate_though_a_byte_knows_only_256(rate):
    layer = Dropout(rate, seed=0)
    call = tf.function(lambda: tf.reduce_mean(tf.cast(layer(tf.ones(4096), training=True) == 0, tf.float32)))
    found = np.mean([call() for _ in range(400)])
    # 0.001 is 0 or 1 of 256 and never between; five standard deviations of which it is, and of the draws.
    rounding = (256 * rate % 1) * (1 - 256 * rate % 1)
    np.testing.assert_allclose(found, rate, atol=5 * (rounding / 256**2 / 400 + rate / 400 / 4096) ** 0.5)


def test_the_four_elements_of_a_word_are_dropped_independently():
    found = dropped(0.5, (250_000, 4))
    both = np.mean(found[:, :, None] & found[:, None, :], axis=0)
    chance = found.mean()
    np.testing.assert_allclose(both[~np.eye(4, dtype=bool)], chance**2, atol=5e-3)


def test_every_call_and_every_seed_draws_anew_and_the_state_decides():
    layer, x = Dropout(0.5, seed=1), tf.ones((8, 8))
    first, second = layer(x, training=True), layer(x, training=True)
    assert (np.array(first) != np.array(second)).any()
    assert (np.array(first) != np.array(Dropout(0.5, seed=2)(x, training=True))).any()
    layer.seed_generator.state.assign(Dropout(0.5, seed=1).seed_generator.state)
    np.testing.assert_array_equal(layer(x, training=True), first)


@pytest.mark.parametrize("shape", [(6,), (3, 1), (3, 5), (2, 3, 3, 8)])
def test_the_gradient_is_the_mask(shape):
    x = tf.random.normal(shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = Dropout(0.4, seed=0)(x, training=True)
    np.testing.assert_allclose(tape.gradient(y, x) * x, y, rtol=1e-6)


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_nothing_is_dropped_where_nothing_is_to_be(rate, training):
    x = tf.random.normal((4, 4))
    np.testing.assert_array_equal(Dropout(rate)(x, training=training), x)


def of_unknown_length(layer):
    return tf.function(lambda x: layer(x, training=True), input_signature=[tf.TensorSpec((None, None))])


def of_known_length(layer):
    return tf.function(lambda x: layer(x, training=True), input_signature=[tf.TensorSpec((None, 8))])


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ({"rate": 0.5}, of_unknown_length),
        ({"rate": 0.5, "noise_shape": (None, 1)}, of_known_length),
        ({"rate": 0.999}, of_known_length),
        ({"rate": 1.0}, of_known_length),
    ],
)
def test_the_rest_takes_keras_own_way(arguments, call):
    ours, kerass = (call(kind(**arguments, seed=3)) for kind in (Dropout, keras.layers.Dropout))
    np.testing.assert_array_equal(ours(tf.ones((4, 8))), kerass(tf.ones((4, 8))))


def test_a_batch_of_any_size_is_dropped_from():
    assert (of_known_length(Dropout(0.5, seed=0))(tf.ones((300, 8))).numpy() == 0).mean() == pytest.approx(
        0.5, abs=0.06
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_goes_in_and_comes_out(policy):
    keras.config.set_dtype_policy(policy)
    outputs = Dropout(0.5)(tf.ones((64, 64)), training=True)
    assert outputs.dtype == tf.as_dtype(policy.removeprefix("mixed_"))
    assert set(np.array(tf.cast(outputs, tf.float32)).ravel()) == {0.0, 2.0}


def test_xla_draws_the_same_mask():
    plain, compiled = (
        tf.function(lambda x, layer=layer: layer(x, training=True), jit_compile=jit)
        for layer, jit in ((Dropout(0.3, seed=5), False), (Dropout(0.3, seed=5), True))
    )
    np.testing.assert_allclose(plain(tf.ones((64, 64))), compiled(tf.ones((64, 64))), rtol=1e-6)


def test_replicas_draw_masks_of_their_own_and_their_states_stay_alike(two_replicas):
    with two_replicas.scope():
        layer = Dropout(0.5, seed=0)
    step = tf.function(lambda: layer(tf.ones((8, 8)), training=True))
    masks = [np.array(mask) for mask in two_replicas.experimental_local_results(two_replicas.run(step))]
    assert all((one != other).any() for place, one in enumerate(masks) for other in masks[:place])
    states = two_replicas.experimental_local_results(layer.seed_generator.state.value)
    for state in states[1:]:
        np.testing.assert_array_equal(state, states[0])


def test_a_model_with_it_is_saved_and_loaded(tmp_path):
    x = keras.Input((4,))
    keras.Model(x, Dropout(0.25, seed=7, name="drop")(x)).save(tmp_path / "model.keras")
    layer = keras.models.load_model(tmp_path / "model.keras").get_layer("drop")
    assert type(layer) is Dropout and (layer.rate, layer.seed) == (0.25, 7)


def test_keras_still_draws_a_float_for_every_element():
    # The day this fails Keras may have become as cheap.
    layer = keras.layers.Dropout(0.5)
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.TensorSpec((2, 8))).graph
    draws = [op.outputs[0] for op in graph.get_operations() if op.type == "StatelessRandomUniformV2"]
    assert [(draw.dtype, tuple(draw.shape)) for draw in draws] == [(tf.float32, (2, 8))]
