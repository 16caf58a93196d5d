"""The kernels' gradient by one product against TensorFlow's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs import gan as gan_configs
from karpa_tf.configs import resnet
from karpa_tf.layers import convolution
from karpa_tf.layers.convolution import Conv2D, Conv2DTranspose
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_discriminator, make_generator

PAIRS = {Conv2D: keras.layers.Conv2D, Conv2DTranspose: keras.layers.Conv2DTranspose}
SHAPES = {Conv2D: (5, 7, 6, 3), Conv2DTranspose: (5, 4, 3, 3)}
ARGUMENTS = [
    {"strides": 2, "padding": "same"},
    {"strides": 1, "padding": "same", "use_bias": False, "activation": "relu"},
    {"strides": (2, 1), "padding": "valid"},
    {"strides": 2, "padding": "same", "kernel_size": 5},
    {"strides": 3, "padding": "valid", "kernel_size": (2, 3)},
]


def both(kind, shape, dtype="mixed_bfloat16", **arguments):
    """Returns our layer and Keras' with the same weights."""
    arguments = {"filters": 4, "kernel_size": 4, "dtype": dtype, **arguments}
    layers = [made(**arguments) for made in (kind, PAIRS[kind])]
    for layer in layers:
        layer.build(shape)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def results(layer, x, jit_compile=False):
    """Returns the output and the gradients of the input and the weights."""

    @tf.function(jit_compile=jit_compile)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(x), tf.float32)
            loss = tf.reduce_sum(y * tf.reshape(tf.sin(tf.range(tf.size(y), dtype=tf.float32)), tf.shape(y)))
        return [y, *tape.gradient(loss, [x, *(variable.value for variable in layer.trainable_variables)])]

    return [result.numpy() for result in step(tf.constant(x))]


def takes_products(function, *arguments):
    """Returns how many kernels' gradients are products, by the ops that gather their patches."""
    graph = tf.function(function).get_concrete_function(*arguments).graph
    return sum(op.type == "ExtractImagePatches" for op in graph.get_operations())


def gradients(model, x):
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(x, training=True)))
        return tape.gradient(loss, model.trainable_variables)

    return step


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_outputs_and_gradients_are_those_of_keras(kind, arguments, jit_compile):
    shape = SHAPES[kind] if kind is Conv2DTranspose or arguments["strides"] != 1 else (5, 4, 4, 3)
    layers = both(kind, shape, **arguments)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert takes_products(results_of(layers[0]), tf.constant(x)) == 1
    assert takes_products(results_of(layers[1]), tf.constant(x)) == 0
    for found, expected in zip(*(results(layer, x, jit_compile) for layer in layers), strict=True):
        # Both add products of bfloat16 in float32, and round the sum to eight bits.
        np.testing.assert_allclose(found, expected, rtol=2**-7, atol=2**-7 * np.abs(expected).max())


def results_of(layer):
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x))
        return tape.gradient(loss, layer.trainable_variables)

    return step


@pytest.mark.parametrize("kind", PAIRS)
def test_the_products_are_exact(kind, monkeypatch):
    # What the layer does with bfloat16, in float32 against TensorFlow's own gradient.
    monkeypatch.setattr(convolution, "_may_be_faster", lambda *_: True)
    monkeypatch.setattr(convolution, "_is_small", lambda *_: True)
    shape = SHAPES[kind]
    for arguments in ARGUMENTS:
        layers = both(kind, shape, "float32", **arguments)
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        for found, expected in zip(*(results(layer, x) for layer in layers), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((2, 12, 12, 3), {"strides": 2, "padding": "same"}),  # 6x6 places are left.
        ((2, 4, 4, 3), {"dtype": "float32"}),
        ((2, 4, 4, 3), {"kernel_size": 1}),
        ((2, 4, 4, 4), {"groups": 2, "padding": "same"}),
        ((2, 6, 6, 3), {"dilation_rate": 2, "kernel_size": 2}),
        ((2, None, None, 3), {"strides": 2}),
    ],
)
def test_elsewhere_keras_own_way_is_taken(shape, arguments):
    layers = both(Conv2D, shape, **arguments)
    x = tf.random.normal([size or 4 for size in shape])
    function = tf.function(results_of(layers[0]), input_signature=[tf.TensorSpec(shape)])
    types = {op.type for op in function.get_concrete_function().graph.get_operations()}
    assert "ExtractImagePatches" not in types
    np.testing.assert_array_equal(layers[0](x), layers[1](x))


def test_the_last_stages_of_the_networks_learn_by_products():
    keras.config.set_dtype_policy("mixed_bfloat16")
    config = gan_configs.DCGANConfig(base_size=4, filters=(8, 4), latent_dim=3, discriminator_filters=(4, 8))
    generator, discriminator = make_generator(config), make_discriminator(config)
    assert takes_products(gradients(generator, tf.ones((2, 3)))) == 1
    assert takes_products(gradients(discriminator, tf.ones((2, 16, 16, config.channels)))) == 1
    network = make_classifier(resnet.ResNetConfig(blocks=(1, 1), filters=(4, 8), stem="3x3"), (8, 8, 3), 10)
    assert takes_products(gradients(network, tf.ones((2, 8, 8, 3)))) == 2


def test_models_with_them_are_saved_and_loaded(tmp_path):
    images = keras.Input((8, 8, 3))
    x = Conv2D(4, 4, 2, padding="same", dtype="mixed_bfloat16")(images)
    model = keras.Model(images, Conv2DTranspose(2, 4, 2, padding="same", dtype="mixed_bfloat16")(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = tf.random.normal((2, 8, 8, 3))
    np.testing.assert_array_equal(tf.cast(loaded(x), tf.float32), tf.cast(model(x), tf.float32))
    assert [layer.name.split("_")[0] for layer in model.layers[1:]] == ["conv2d", "conv2d"]


def test_its_gradient_has_a_gradient():
    layers = both(Conv2D, (2, 4, 4, 3), strides=2, padding="same")
    x = tf.constant(np.random.default_rng(1).normal(size=(2, 4, 4, 3)), tf.float32)
    seconds = []
    for layer in layers:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = tf.reduce_sum(tf.cast(layer(x), tf.float32) ** 2)
            slope = inner.gradient(loss, layer.kernel.value)
            total = tf.reduce_sum(slope**2)
        seconds.append(outer.gradient(total, layer.kernel.value).numpy())
    np.testing.assert_allclose(*seconds, rtol=0.05, atol=0.02 * np.abs(seconds[1]).max())
