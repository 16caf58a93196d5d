"""Kernel gradients by one matrix product against TensorFlow's gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_gradients import run_layer

from karpa_tf.configs import dcgan, resnet
from karpa_tf.layers import convolution
from karpa_tf.layers.convolution import Conv2D, Conv2DTranspose, PooledConv2D, UpsampledConv2D
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_discriminator, make_generator

KERAS_LAYERS = {Conv2D: keras.layers.Conv2D, Conv2DTranspose: keras.layers.Conv2DTranspose}
INPUT_SHAPES = {Conv2D: (5, 7, 6, 3), Conv2DTranspose: (5, 4, 3, 3)}
ARGUMENTS = [
    {"strides": 2, "padding": "same"},
    {"strides": 1, "padding": "same", "use_bias": False, "activation": "relu"},
    {"strides": (2, 1), "padding": "valid"},
    {"strides": 2, "padding": "same", "kernel_size": 5},
    {"strides": 3, "padding": "valid", "kernel_size": (2, 3)},
]


def make_pair(layer_class, shape, dtype="mixed_bfloat16", **arguments):
    """Returns this layer and Keras', with the same weights."""
    arguments = {"filters": 4, "kernel_size": 4, "dtype": dtype, **arguments}
    layers = [cls(**arguments) for cls in (layer_class, KERAS_LAYERS[layer_class])]
    for layer in layers:
        layer.build(shape)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def count_matrix_products(function, *arguments):
    """Returns the number of kernel gradients by a matrix product, counting the operations that extract patches."""
    graph = tf.function(function).get_concrete_function(*arguments).graph
    return sum(op.type == "ExtractImagePatches" for op in graph.get_operations())


def make_gradient_function(model, x):
    def compute_gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(x, training=True)))
        return tape.gradient(loss, model.trainable_variables)

    return compute_gradients


@pytest.mark.parametrize("layer_class", KERAS_LAYERS)
@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_outputs_and_gradients_match_keras(layer_class, arguments, jit_compile):
    shape = INPUT_SHAPES[layer_class] if layer_class is Conv2DTranspose or arguments["strides"] != 1 else (5, 4, 4, 3)
    layers = make_pair(layer_class, shape, **arguments)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert count_matrix_products(make_kernel_gradient_function(layers[0]), tf.constant(x)) == 1
    assert count_matrix_products(make_kernel_gradient_function(layers[1]), tf.constant(x)) == 0
    for result, expected in zip(*(run_layer(layer, x, jit_compile) for layer in layers), strict=True):
        # Both accumulate in float32 and round the sum to the eight significant bits of bfloat16.
        np.testing.assert_allclose(result, expected, rtol=2**-7, atol=2**-7 * np.abs(expected).max())


def make_kernel_gradient_function(layer):
    def compute_gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x))
        return tape.gradient(loss, layer.trainable_variables)

    return compute_gradients


@pytest.mark.parametrize("layer_class", KERAS_LAYERS)
def test_the_matrix_product_is_exact(layer_class, monkeypatch):
    # The layer's gradient, otherwise used in bfloat16 only, in float32 against TensorFlow's.
    monkeypatch.setattr(convolution, "_can_be_faster", lambda *_: True)
    monkeypatch.setattr(convolution, "_is_small", lambda *_: True)
    shape = INPUT_SHAPES[layer_class]
    for arguments in ARGUMENTS:
        layers = make_pair(layer_class, shape, "float32", **arguments)
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        for result, expected in zip(*(run_layer(layer, x) for layer in layers), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((2, 12, 12, 3), {"strides": 2, "padding": "same"}),  # a 6x6 feature map
        ((2, 4, 4, 3), {"dtype": "float32"}),
        ((2, 4, 4, 3), {"kernel_size": 1}),
        ((2, 4, 4, 4), {"groups": 2, "padding": "same"}),
        ((2, 6, 6, 3), {"dilation_rate": 2, "kernel_size": 2}),
        ((2, None, None, 3), {"strides": 2}),
    ],
)
def test_other_shapes_and_arguments_use_keras_implementation(shape, arguments):
    layers = make_pair(Conv2D, shape, **arguments)
    x = tf.random.normal([size or 4 for size in shape])
    function = tf.function(make_kernel_gradient_function(layers[0]), input_signature=[tf.TensorSpec(shape)])
    types = {op.type for op in function.get_concrete_function().graph.get_operations()}
    assert "ExtractImagePatches" not in types
    np.testing.assert_array_equal(layers[0](x), layers[1](x))


def test_the_stages_with_small_feature_maps_use_the_matrix_product():
    keras.config.set_dtype_policy("mixed_bfloat16")
    config = dcgan.DCGANConfig(base_size=4, filters=(8, 4), latent_dim=3, discriminator_filters=(4, 8))
    generator, discriminator = make_generator(config), make_discriminator(config)
    assert count_matrix_products(make_gradient_function(generator, tf.ones((2, 3)))) == 1
    assert count_matrix_products(make_gradient_function(discriminator, tf.ones((2, 16, 16, config.channels)))) == 1
    network = make_classifier(resnet.ResNetConfig(blocks=(1, 1), filters=(4, 8), stem="3x3"), (8, 8, 3), 10)
    assert count_matrix_products(make_gradient_function(network, tf.ones((2, 8, 8, 3)))) == 2


def test_a_model_is_saved_and_loaded(tmp_path):
    images = keras.Input((8, 8, 3))
    x = Conv2D(4, 4, 2, padding="same", dtype="mixed_bfloat16")(images)
    model = keras.Model(images, Conv2DTranspose(2, 4, 2, padding="same", dtype="mixed_bfloat16")(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = tf.random.normal((2, 8, 8, 3))
    np.testing.assert_array_equal(tf.cast(loaded(x), tf.float32), tf.cast(model(x), tf.float32))
    assert [layer.name.split("_")[0] for layer in model.layers[1:]] == ["conv2d", "conv2d"]


def test_second_derivatives_match_keras():
    layers = make_pair(Conv2D, (2, 4, 4, 3), strides=2, padding="same")
    x = tf.constant(np.random.default_rng(1).normal(size=(2, 4, 4, 3)), tf.float32)
    results = []
    for layer in layers:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = tf.reduce_sum(tf.cast(layer(x), tf.float32) ** 2)
            gradient = inner.gradient(loss, layer.kernel.value)
            total = tf.reduce_sum(gradient**2)
        results.append(outer.gradient(total, layer.kernel.value).numpy())
    np.testing.assert_allclose(*results, rtol=0.05, atol=0.02 * np.abs(results[1]).max())


RESAMPLED = {
    UpsampledConv2D: lambda convolve, x: convolve(keras.layers.UpSampling2D()(x)),
    PooledConv2D: lambda convolve, x: keras.layers.AveragePooling2D(2)(convolve(x)),
}
"""What these layers compute, with the 3x3 convolution of Keras."""


@pytest.mark.parametrize("layer_class", RESAMPLED)
@pytest.mark.parametrize("shape", [(5, 4, 4, 3), (2, 6, 10, 3)])
@pytest.mark.parametrize("is_fast", [False, True])
def test_resampling_convolutions_match_two_layers(layer_class, shape, is_fast, monkeypatch):
    monkeypatch.setattr(convolution, "_can_be_faster", lambda *_: is_fast)
    layer = layer_class(4, 3, padding="same", bias_initializer="uniform")
    reference = keras.layers.Conv2D(4, 3, padding="same")
    for convolution_layer in (layer, reference):
        convolution_layer.build(shape)
    reference.set_weights(layer.get_weights())
    x = tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)

    def compute(function, kernel):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = function(x)
                loss = tf.reduce_sum(outputs**3)
            gradients = tape.gradient(loss, [x, kernel])
            total = tf.reduce_sum(gradients[0] ** 2)
        return [outputs, *gradients, outer.gradient(total, kernel)]

    expected = compute(lambda x: RESAMPLED[layer_class](reference, x), reference.kernel.value)
    results = compute(layer, layer.kernel.value)
    assert layer.compute_output_shape(shape) == results[0].shape
    for result, value in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-4, atol=1e-5 * np.abs(value).max())


@pytest.mark.parametrize("layer_class", RESAMPLED)
@pytest.mark.parametrize("arguments", [{}, {"padding": "same", "strides": 2}, {"padding": "same", "kernel_size": 5}])
def test_resampling_convolutions_refuse_arguments_that_they_do_not_have(layer_class, arguments):
    with pytest.raises(ValueError, match="has a 3x3 kernel, padding 'same', and no strides"):
        layer_class(**{"filters": 4, "kernel_size": 3, **arguments}).build((None, 4, 4, 3))


def test_a_map_of_odd_size_is_not_averaged():
    with pytest.raises(ValueError, match="even height and width"):
        PooledConv2D(4, 3, padding="same").build((None, 4, 5, 3))
