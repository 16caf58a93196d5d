"""The fused kernel against Keras' own layer."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs import gan as gan_configs
from karpa_tf.configs import resnet
from karpa_tf.configs.airbench import AirbenchConfig
from karpa_tf.configs.application import ApplicationConfig
from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.vgg import VGGConfig
from karpa_tf.layers.batch_norm import BatchNormalization, fuse_batch_norm, synchronize_batch_norm
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_discriminator, make_generator

KINDS = (BatchNormalization, keras.layers.BatchNormalization)

# Of numbers of up to about ten: float32 keeps 24 bits, float16 11, bfloat16 8.
TOLERANCE = {"float32": 2e-5, "mixed_float16": 1e-2, "mixed_bfloat16": 6e-2}


def both(shape=(5, 4, 3, 6), **kwargs):
    rng = np.random.default_rng(0)
    layers = [kind(momentum=0.7, **kwargs) for kind in KINDS]
    for layer in layers:
        layer.build(shape)
    weights = [rng.uniform(0.5, 2, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers, rng.normal(1, 2, shape).astype(np.float32)


def results(layer, images, training, jit_compile=False):
    """Returns the outputs, the gradients of the input and the weights, and the statistics afterwards."""

    @tf.function(jit_compile=jit_compile)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(x, training=training), tf.float32)
            loss = tf.reduce_sum(y * tf.reshape(tf.sin(tf.range(tf.size(y), dtype=tf.float32)), tf.shape(y)))
        return [y, *tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])]

    found = [result.numpy() for result in step(tf.constant(images))]
    return [*found, *(variable.numpy() for variable in layer.non_trainable_variables)]


def assert_same(layers, images, tolerance=2e-5, **kwargs):
    found = [results(layer, images, **kwargs) for layer in layers]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}, {"epsilon": 1e-7}])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_are_those_of_keras(arguments, training):
    layers, images = both(**arguments)
    assert_same(layers, images, training=training)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_they_are_in_every_precision_and_compiled_by_xla(precision, jit_compile, training):
    keras.config.set_dtype_policy(precision)
    layers, images = both()
    assert_same(layers, images, TOLERANCE[precision], training=training, jit_compile=jit_compile)


def test_they_are_for_a_single_number_per_channel_whose_variance_is_zero():
    layers, images = both(shape=(1, 1, 1, 3))
    assert_same(layers, images, training=True)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_goes_in_and_comes_out_and_statistics_stay_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    (ours, _), images = both()
    outputs = ours(tf.constant(images), training=True)
    assert outputs.dtype == tf.as_dtype(policy.removeprefix("mixed_"))
    assert {str(variable.dtype) for variable in ours.weights} == {"float32"}


def test_a_frozen_layer_uses_and_keeps_its_statistics_in_training_too():
    (ours, _), images = both()
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
            marks=pytest.mark.skipif(keras.version() < "3.14", reason="Keras before 3.14 has none"),
        ),
    ],
)
def test_what_the_kernel_cannot_do_takes_keras_own_way(shape, arguments):
    layers, images = both(shape=shape, **arguments)
    for one, other in zip(*(results(layer, images, training=True) for layer in layers), strict=True):
        np.testing.assert_array_equal(one, other)


def test_masked_places_do_not_count_as_with_keras():
    layers, images = both()
    mask = np.random.default_rng(1).random(images.shape[:-1]) < 0.5
    outputs = [layer(images, training=True, mask=mask) for layer in layers]
    np.testing.assert_array_equal(*outputs)
    for one, other in zip(*(layer.weights for layer in layers), strict=True):
        np.testing.assert_array_equal(one, other)


def model_of(kind):
    images = keras.Input((4, 4, 2))
    return keras.Model(images, kind()(keras.layers.Conv2D(2, 3)(kind()(images))))


def test_a_model_with_it_is_saved_and_loaded(tmp_path):
    model = model_of(BatchNormalization)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is BatchNormalization
    x = np.ones((2, 4, 4, 2), np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(("source", "target"), [KINDS, KINDS[::-1]])
def test_files_of_weights_fit_models_of_keras_layer_and_the_other_way_round(source, target, tmp_path):
    one, other = model_of(source), model_of(target)
    weights = [np.random.default_rng(place).uniform(size=w.shape) for place, w in enumerate(one.weights)]
    one.set_weights(weights)
    one.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for weight, value in zip(other.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, value.astype(np.float32))


def traced(model, training=True):
    """Returns how often each op stands in the graph of a model that is called."""
    shapes = [tf.TensorSpec((2, *tensor.shape[1:])) for tensor in model.inputs]
    graph = tf.function(lambda x: model(x, training=training)).get_concrete_function(*shapes).graph
    return collections.Counter(op.type for op in graph.get_operations())


FACTORIES = {
    "cnn": lambda: make_classifier(CNNConfig(filters=(4, 4), batch_norm=True), (8, 8, 3), 2),
    "vgg": lambda: make_classifier(VGGConfig(filters=(4, 4), convolutions=(1, 1)), (8, 8, 3), 2),
    "resnet": lambda: make_classifier(resnet.ResNetConfig(blocks=(1, 1), filters=(4, 8)), (8, 8, 3), 2),
    "airbench": lambda: make_classifier(AirbenchConfig(filters=(24, 24)), (16, 16, 3), 2),
    "application": lambda: make_classifier(ApplicationConfig(), (32, 32, 3), 2),
    "generator": lambda: make_generator(gan_configs.TINY),
    "discriminator": lambda: make_discriminator(gan_configs.DCGANConfig(filters=(4, 4), discriminator_batch_norm=True)),
}


@pytest.mark.parametrize("family", FACTORIES)
def test_every_factory_normalizes_with_the_kernel_alone(family):
    model = FACTORIES[family]()
    count = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    ops = traced(model)
    assert ops["FusedBatchNormV3"] == count > 0
    # What Keras computes the variance with.
    assert ops["SquaredDifference"] == 0


def test_keras_does_not_use_the_kernel_itself():
    images = keras.Input((4, 4, 2))
    ops = traced(keras.Model(images, keras.layers.BatchNormalization()(images)))
    assert not [op for op in ops if "FusedBatchNorm" in op], (
        f"Keras {keras.version()} fuses batch normalization itself: measure whether karpa_tf.layers.batch_norm."
        "BatchNormalization is still faster (benchmarks), and let it go if it is not."
    )


def test_a_network_of_keras_layers_becomes_one_of_fused_layers_with_the_same_weights():
    model = keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None)
    other = fuse_batch_norm(model)
    assert [layer.get_config() for layer in other.layers[1:]] == [layer.get_config() for layer in model.layers[1:]]
    for one, two in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    x = np.random.default_rng(0).normal(size=(16, 32, 32, 3)).astype(np.float32)
    outputs = [network(x, training=True) for network in (model, other)]
    np.testing.assert_allclose(*outputs, atol=1e-2)  # Rounding grows through 52 layers of normalization.


def unlike_shares(strategy):
    """Returns float32 (8, 4, 4, 2) and the same as shares of the replicas, which are unlike each other."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(8, 4, 4, 2)) + np.arange(8).reshape(8, 1, 1, 1)).astype(np.float32)
    shares = tf.split(x, strategy.num_replicas_in_sync)
    return x, strategy.experimental_distribute_values_from_function(
        lambda context: shares[context.replica_id_in_sync_group]
    )


def test_every_replica_normalizes_with_its_own_share_as_with_keras(two_replicas):
    _, data = unlike_shares(two_replicas)
    found = []
    for kind in KINDS:
        with two_replicas.scope():
            layer = kind(momentum=0.5)
            layer.build((None, 4, 4, 2))
        step = tf.function(lambda images, layer=layer: layer(images, training=True))
        results = [*two_replicas.experimental_local_results(two_replicas.run(step, args=(data,)))]
        for weight in layer.weights:
            results += two_replicas.experimental_local_results(weight.value)
        found.append([np.array(result) for result in results])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_synchronized_replicas_normalize_with_the_statistics_of_the_whole_batch(precision, two_replicas):
    keras.config.set_dtype_policy(precision)
    x, data = unlike_shares(two_replicas)

    def make():
        images = keras.Input((4, 4, 2))
        y = keras.layers.BatchNormalization(momentum=0.5, name="theirs")(BatchNormalization(momentum=0.5)(images))
        return keras.Model(images, y)

    alone = make()
    expected = tf.cast(alone(x, training=True), tf.float32).numpy()
    with two_replicas.scope():
        model = synchronize_batch_norm(make())
    assert [layer.name for layer in model.layers][-1] == "theirs"
    step = tf.function(lambda images: tf.cast(model(images, training=True), tf.float32))
    outputs = two_replicas.experimental_local_results(two_replicas.run(step, args=(data,)))
    tolerance = {"float32": 1e-5, "mixed_bfloat16": 2e-2}[precision]
    np.testing.assert_allclose(np.concatenate(outputs), expected, atol=tolerance)
    for ours, theirs in zip(model.weights, alone.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=tolerance)
