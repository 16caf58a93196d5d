"""The fused kernel against Keras' own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.models.batch_norm import BatchNormalization, synchronized


def both(shape=(5, 4, 3, 6), **kwargs):
    rng = np.random.default_rng(0)
    layers = [kind(momentum=0.7, **kwargs) for kind in (BatchNormalization, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.build(shape)
    weights = [rng.uniform(0.5, 2, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers, rng.normal(1, 2, shape).astype(np.float32)


@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_are_those_of_keras(arguments, training):
    (ours, kerass), images = both(**arguments)
    found = []
    for layer in (ours, kerass):
        x = tf.Variable(images)
        with tf.GradientTape() as tape:
            y = layer(x, training=training)
            loss = tf.reduce_sum(y * tf.sin(tf.range(tf.size(y), dtype=tf.float32)).numpy().reshape(y.shape))
        gradients = tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])
        found.append([y, *gradients, *(variable.numpy() for variable in layer.non_trainable_variables)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_half_precision_goes_in_and_comes_out_and_statistics_stay_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    (ours, _), images = both()
    outputs = ours(tf.constant(images), training=True)
    assert outputs.dtype == tf.bfloat16
    assert {str(variable.dtype) for variable in ours.weights} == {"float32"}


def test_a_frozen_layer_uses_and_keeps_its_statistics_in_training_too():
    (ours, _), images = both()
    ours.trainable = False
    before = [weight.numpy() for weight in ours.weights]
    np.testing.assert_array_equal(ours(images, training=True), ours(images, training=False))
    for weight, value in zip(ours.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_other_ranks_take_keras_own_way():
    (ours, kerass), values = both(shape=(16, 6))
    np.testing.assert_array_equal(ours(values, training=True), kerass(values, training=True))


def test_a_model_with_it_is_saved_and_loaded(tmp_path):
    images = keras.Input((4, 4, 2))
    model = keras.Model(images, BatchNormalization()(images))
    model.save(tmp_path / "model.keras")
    x = np.ones((2, 4, 4, 2), np.float32)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_synchronized_replicas_normalise_with_the_statistics_of_the_whole_batch(two_replicas):
    rng = np.random.default_rng(0)
    # The replicas' shares of the batch are unlike each other.
    x = (rng.normal(size=(8, 4, 4, 2)) + np.arange(8).reshape(8, 1, 1, 1)).astype(np.float32)
    shares = tf.split(x, two_replicas.num_replicas_in_sync)

    def make():
        images = keras.Input((4, 4, 2))
        y = keras.layers.BatchNormalization(momentum=0.5, name="theirs")(BatchNormalization(momentum=0.5)(images))
        return keras.Model(images, y)

    alone = make()
    expected = alone(x, training=True).numpy()
    with two_replicas.scope():
        model = synchronized(make())
    assert [layer.name for layer in model.layers][-1] == "theirs"
    data = two_replicas.experimental_distribute_values_from_function(
        lambda context: shares[context.replica_id_in_sync_group]
    )
    step = tf.function(lambda images: model(images, training=True))
    outputs = two_replicas.experimental_local_results(two_replicas.run(step, args=(data,)))
    np.testing.assert_allclose(np.concatenate(outputs), expected, atol=1e-5)
    for ours, theirs in zip(model.weights, alone.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
