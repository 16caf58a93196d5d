"""Fused batch normalization against Keras' layer."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs import dcgan, resnet
from karpa_tf.configs.airbench import AirbenchConfig
from karpa_tf.configs.application import ApplicationConfig
from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.vgg import VGGConfig
from karpa_tf.layers.batch_norm import BatchNormalization, fuse_batch_norm, synchronize_batch_norm
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_discriminator, make_generator

LAYERS = (BatchNormalization, keras.layers.BatchNormalization)

# For values of up to about ten; float32 has 24 significant bits, float16 11 and bfloat16 8.
TOLERANCE = {"float32": 2e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 6e-2}


def make_pair(shape=(5, 4, 3, 6), **kwargs):
    """Returns this layer and Keras', with the same weights, and float32 images of the given shape."""
    rng = np.random.default_rng(0)
    layers = [layer_class(momentum=0.7, **kwargs) for layer_class in LAYERS]
    for layer in layers:
        layer.build(shape)
    weights = [rng.uniform(0.5, 2, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers, rng.normal(1, 2, shape).astype(np.float32)


def compute(layer, images, training, jit_compile=False):
    """Returns the outputs, the gradients of the input and the weights, and the updated moving statistics."""

    @tf.function(jit_compile=jit_compile)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(x, training=training), tf.float32)
            loss = tf.reduce_sum(y * tf.reshape(tf.sin(tf.range(tf.size(y), dtype=tf.float32)), tf.shape(y)))
        return [y, *tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])]

    results = [result.numpy() for result in step(tf.constant(images))]
    return [*results, *(variable.numpy() for variable in layer.non_trainable_variables)]


def assert_same(layers, images, tolerance=2e-5, **kwargs):
    for ours, theirs in zip(*(compute(layer, images, **kwargs) for layer in layers), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}, {"epsilon": 1e-7}])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_match_keras(arguments, training):
    layers, images = make_pair(**arguments)
    assert_same(layers, images, training=training)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_they_match_in_every_precision_and_with_xla(precision, jit_compile, training):
    keras.config.set_dtype_policy(precision)
    layers, images = make_pair()
    assert_same(layers, images, TOLERANCE[precision], training=training, jit_compile=jit_compile)


def test_they_match_for_a_single_value_per_channel_of_variance_zero():
    layers, images = make_pair(shape=(1, 1, 1, 3))
    assert_same(layers, images, training=True)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_have_the_compute_dtype_and_statistics_are_float32(policy):
    keras.config.set_dtype_policy(policy)
    (ours, _), images = make_pair()
    outputs = ours(tf.constant(images), training=True)
    assert outputs.dtype == tf.as_dtype(policy.removeprefix("mixed_"))
    assert {str(variable.dtype) for variable in ours.weights} == {"float32"}


def test_a_frozen_layer_uses_and_keeps_its_moving_statistics_in_training():
    (ours, _), images = make_pair()
    ours.trainable = False
    before = [weight.numpy() for weight in ours.weights]
    np.testing.assert_array_equal(ours(images, training=True), ours(images, training=False))
    for weight, value in zip(ours.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((16, 6), {}),
        ((8, 4, 6), {}),
        ((4, 3, 3, 2, 6), {}),
        ((5, 4, 3, 6), {"axis": 1}),
        ((5, 4, 3, 6), {"dtype": "float64"}),
        pytest.param(
            (5, 4, 3, 6),
            {"renorm": True},
            marks=pytest.mark.skipif(keras.version() < "3.14", reason="Keras has it from 3.14 on"),
        ),
    ],
)
def test_unsupported_inputs_and_arguments_use_keras_implementation(shape, arguments):
    layers, images = make_pair(shape=shape, **arguments)
    for ours, theirs in zip(*(compute(layer, images, training=True) for layer in layers), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_masked_positions_are_ignored_as_in_keras():
    layers, images = make_pair()
    mask = np.random.default_rng(1).random(images.shape[:-1]) < 0.5
    outputs = [layer(images, training=True, mask=mask) for layer in layers]
    np.testing.assert_array_equal(*outputs)
    for ours, theirs in zip(*(layer.weights for layer in layers), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def make_model(layer_class):
    images = keras.Input((4, 4, 2))
    return keras.Model(images, layer_class()(keras.layers.Conv2D(2, 3)(layer_class()(images))))


def test_a_model_is_saved_and_loaded(tmp_path):
    model = make_model(BatchNormalization)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is BatchNormalization
    x = np.ones((2, 4, 4, 2), np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(("source", "target"), [LAYERS, LAYERS[::-1]])
def test_weight_files_are_exchangeable_with_models_of_keras_layers(source, target, tmp_path):
    saved, loaded = make_model(source), make_model(target)
    weights = [np.random.default_rng(index).uniform(size=w.shape) for index, w in enumerate(saved.weights)]
    saved.set_weights(weights)
    saved.save_weights(tmp_path / "model.weights.h5")
    loaded.load_weights(tmp_path / "model.weights.h5")
    for weight, value in zip(loaded.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, value.astype(np.float32))


def count_ops(model, training=True):
    """Returns the number of operations of each type in the graph of a model call."""
    shapes = [tf.TensorSpec((2, *tensor.shape[1:])) for tensor in model.inputs]
    graph = tf.function(lambda x: model(x, training=training)).get_concrete_function(*shapes).graph
    return collections.Counter(op.type for op in graph.get_operations())


FACTORIES = {
    "cnn": lambda: make_classifier(CNNConfig(filters=(4, 4), batch_norm=True), (8, 8, 3), 2),
    "vgg": lambda: make_classifier(VGGConfig(filters=(4, 4), convolutions=(1, 1)), (8, 8, 3), 2),
    "resnet": lambda: make_classifier(resnet.ResNetConfig(blocks=(1, 1), filters=(4, 8)), (8, 8, 3), 2),
    "airbench": lambda: make_classifier(AirbenchConfig(filters=(24, 24)), (16, 16, 3), 2),
    "application": lambda: make_classifier(ApplicationConfig(), (32, 32, 3), 2),
    "generator": lambda: make_generator(dcgan.TINY),
    "discriminator": lambda: make_discriminator(dcgan.DCGANConfig(filters=(4, 4), discriminator_batch_norm=True)),
}


@pytest.mark.parametrize("family", FACTORIES)
def test_every_factory_normalizes_with_the_fused_kernel_only(family):
    model = FACTORIES[family]()
    count = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    ops = count_ops(model)
    assert ops["FusedBatchNormV3"] == count > 0
    # Keras computes the variance by this operation.
    assert ops["SquaredDifference"] == 0


def test_keras_does_not_use_the_fused_kernel():
    images = keras.Input((4, 4, 2))
    ops = count_ops(keras.Model(images, keras.layers.BatchNormalization()(images)))
    assert not [op for op in ops if "FusedBatchNorm" in op], (
        f"Keras {keras.version()} uses the fused kernel: measure whether karpa_tf.layers.batch_norm."
        "BatchNormalization is still faster (benchmarks), and remove it if it is not."
    )


def test_fuse_batch_norm_keeps_configs_and_weights():
    model = keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None)
    fused = fuse_batch_norm(model)
    assert [layer.get_config() for layer in fused.layers[1:]] == [layer.get_config() for layer in model.layers[1:]]
    for weight, fused_weight in zip(model.weights, fused.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), fused_weight.numpy())
    x = np.random.default_rng(0).normal(size=(16, 32, 32, 3)).astype(np.float32)
    outputs = [network(x, training=True) for network in (model, fused)]
    np.testing.assert_allclose(*outputs, atol=1e-2)  # rounding errors grow over 52 normalization layers


def make_distributed_batch(strategy):
    """Returns float32 (8, 4, 4, 2), and the same split over the replicas, whose parts have different means."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(8, 4, 4, 2)) + np.arange(8).reshape(8, 1, 1, 1)).astype(np.float32)
    parts = tf.split(x, strategy.num_replicas_in_sync)
    return x, strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )


def test_each_replica_normalizes_with_its_own_statistics_as_in_keras(two_replicas):
    _, data = make_distributed_batch(two_replicas)
    results = []
    for layer_class in LAYERS:
        with two_replicas.scope():
            layer = layer_class(momentum=0.5)
            layer.build((None, 4, 4, 2))
        step = tf.function(lambda images, layer=layer: layer(images, training=True))
        values = [*two_replicas.experimental_local_results(two_replicas.run(step, args=(data,)))]
        for weight in layer.weights:
            values += two_replicas.experimental_local_results(weight.value)
        results.append([np.array(value) for value in values])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_synchronized_replicas_normalize_with_the_statistics_of_the_global_batch(precision, two_replicas):
    keras.config.set_dtype_policy(precision)
    x, data = make_distributed_batch(two_replicas)

    def make_mixed_model():
        images = keras.Input((4, 4, 2))
        y = keras.layers.BatchNormalization(momentum=0.5, name="keras_layer")(BatchNormalization(momentum=0.5)(images))
        return keras.Model(images, y)

    single = make_mixed_model()
    expected = tf.cast(single(x, training=True), tf.float32).numpy()
    with two_replicas.scope():
        model = synchronize_batch_norm(make_mixed_model())
    assert [layer.name for layer in model.layers][-1] == "keras_layer"
    step = tf.function(lambda images: tf.cast(model(images, training=True), tf.float32))
    outputs = two_replicas.experimental_local_results(two_replicas.run(step, args=(data,)))
    tolerance = {"float32": 1e-5, "mixed_bfloat16": 2e-2}[precision]
    np.testing.assert_allclose(np.concatenate(outputs), expected, atol=tolerance)
    for weight, expected_weight in zip(model.weights, single.weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), expected_weight.numpy(), atol=tolerance)
