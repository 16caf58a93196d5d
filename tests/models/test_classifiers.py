"""Classifier families: published sizes, named layers, and the initialization of their papers."""

import dataclasses

import keras
import numpy as np
import pytest

from karpa_tf.configs import cnn, resnet, vgg, vit
from karpa_tf.configs.application import ApplicationConfig
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.dcgan import DCGANConfig
from karpa_tf.errors import UserError
from karpa_tf.models.classifiers import extract_head, split_by_depth
from karpa_tf.models.cnn import make_cnn
from karpa_tf.models.resnet import make_resnet
from karpa_tf.models.vgg import make_vgg
from karpa_tf.models.vit import make_vit

SMALL_VIT = vit.ViTConfig(patch_size=4, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16)
SMALL_RESNET = resnet.ResNetConfig(blocks=(1, 2), filters=(4, 8))


def count_trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.slow
def test_cifar_resnets_have_the_published_sizes():
    # He et al. 2015, table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 million.
    for depth, millions in ((20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)):
        count = count_trainable(make_resnet(resnet.cifar(depth), (32, 32, 3), 10))
        assert round(count / 1e6, 1 if depth == 110 else 2) == millions


@pytest.mark.parametrize(
    ("blocks", "block", "count"),
    [
        # The parameter counts of other implementations with 1000 classes.
        ((2, 2, 2, 2), "basic", 11_689_512),
        ((3, 4, 6, 3), "basic", 21_797_672),
        ((3, 4, 6, 3), "bottleneck", 25_557_032),
        pytest.param((3, 4, 23, 3), "bottleneck", 44_549_160, marks=pytest.mark.slow),
        pytest.param((3, 8, 36, 3), "bottleneck", 60_192_808, marks=pytest.mark.slow),
    ],
)
def test_imagenet_resnets_have_the_published_sizes(blocks, block, count):
    assert count_trainable(make_resnet(resnet.imagenet(blocks, block), (224, 224, 3), 1000)) == count


@pytest.mark.slow
def test_wide_resnets_have_the_published_sizes():
    # Zagoruyko and Komodakis 2016, tables 4 and 5: 8.9, 11.0 and 36.5 million.
    for depth, factor, millions in ((40, 4, 8.9), (16, 8, 11.0), (28, 10, 36.5)):
        count = count_trainable(make_resnet(resnet.wide(depth, factor), (32, 32, 3), 10))
        assert abs(count / 1e6 - millions) < 0.06


@pytest.mark.slow
def test_vggs_have_the_published_sizes():
    assert make_vgg(vgg.for_224(16, batch_norm=False), (224, 224, 3), 1000).count_params() == 138_357_544
    # For 32x32, only the convolutions are as published; the layer of the logits has 512 x 10 + 10 parameters.
    for depth, convolutions in ((11, 9_217_728), (13, 9_402_048), (16, 14_710_464), (19, 20_018_880)):
        model = make_vgg(vgg.for_32(depth), (32, 32, 3), 10)
        kernels = sum(int(np.prod(weight.shape)) for weight in model.weights if len(weight.shape) == 4)
        assert kernels == convolutions
        assert model.get_layer("logits").count_params() == 5130


@pytest.mark.parametrize(
    ("config", "published"),
    [
        (vit.TINY, 5_717_416),
        pytest.param(vit.SMALL, 22_050_664, marks=pytest.mark.slow),
        pytest.param(vit.BASE, 86_567_656, marks=pytest.mark.slow),
    ],
)
def test_vision_transformers_have_the_published_sizes_but_for_the_class_token(config, published):
    # The parameter counts of DeiT's code, whose class token has a position too.
    count = make_vit(config, (224, 224, 3), 1000).count_params()
    assert count == published - 2 * config.hidden_dim


def test_a_block_of_a_vision_transformer_is_skipped_for_some_images_in_training():
    config = dataclasses.replace(SMALL_VIT, num_layers=2, stochastic_depth=0.5)
    model = make_vit(config, (8, 8, 3), 5)
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32).repeat(64, 0)
    # The first layer is never skipped, and the two blocks of the second one are, each for half of the images.
    assert len(np.unique(np.round(model(images, training=True), 4), axis=0)) == 4
    assert len(np.unique(np.round(model(images), 4), axis=0)) == 1


MODELS = {
    "cnn": lambda shape: make_cnn(cnn.CNNConfig(filters=(4, 8), dense_units=(6,), batch_norm=True), shape, 5),
    "vgg": lambda shape: make_vgg(vgg.VGGConfig(convolutions=(1, 2), filters=(4, 8)), shape, 5),
    "basic": lambda shape: make_resnet(SMALL_RESNET, shape, 5),
    "padding": lambda shape: make_resnet(dataclasses.replace(SMALL_RESNET, shortcut="padding"), shape, 5),
    "bottleneck": lambda shape: make_resnet(dataclasses.replace(SMALL_RESNET, block="bottleneck"), shape, 5),
    "wide": lambda shape: make_resnet(dataclasses.replace(SMALL_RESNET, block="wide", dropout=0.1), shape, 5),
    "vit": lambda shape: make_vit(SMALL_VIT, shape, 5),
    "large stem": lambda shape: make_resnet(dataclasses.replace(SMALL_RESNET, stem="7x7"), shape, 5),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_family_names_its_layers_and_returns_float32_logits(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = MODELS[name]((24, 24, 3))
    assert [tensor.name for tensor in model.inputs] == ["images"]
    assert len(model.get_layer("features").output.shape) == 4
    assert len(model.get_layer("pooled").output.shape) == 2
    assert model.get_layer("logits").output is model.outputs[0]
    logits = model(np.zeros((2, 24, 24, 3), np.float32))
    assert logits.shape == (2, 5) and logits.dtype == "float32"
    head, trained = extract_head(model), split_by_depth(model)[0]
    assert [variable.path for variable in head.trainable_variables] == [variable.path for variable in trained]
    pooled = keras.Model(model.input, model.get_layer("pooled").output)(np.zeros((2, 24, 24, 3), np.float32))
    np.testing.assert_array_equal(head(pooled), logits)


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_of_every_family_is_trained(name):
    keras.utils.set_random_seed(1)
    model = MODELS[name]((24, 24, 3))
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [weight.numpy() for weight in model.trainable_weights]
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(40, 24, 24, 3)).astype(np.float32), rng.integers(0, 5, 40)
    # Two steps: a block whose last normalization has an initial scale of zero passes no gradient in the first.
    model.fit(images, labels, batch_size=20, verbose=0)
    unchanged = [w.path for w, old in zip(model.trainable_weights, before, strict=True) if np.array_equal(w, old)]
    assert unchanged == []


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_a_residual_block_is_initially_its_shortcut(block):
    model = make_resnet(resnet.ResNetConfig(blocks=(3,), filters=(4,), block=block), (8, 8, 3), 5)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    adds = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Add)]
    first, last = keras.Model(model.input, [adds[0], adds[-1]])(images)
    # The first block may have a projection; all others are the identity (the ReLU between them changes nothing).
    np.testing.assert_allclose(last, np.maximum(first, 0), atol=1e-6)


@pytest.mark.parametrize("image_size", [8, 7])
def test_a_padding_shortcut_subsamples_and_adds_zero_channels(image_size):
    config = resnet.ResNetConfig(blocks=(1, 1), filters=(4, 8), shortcut="padding")
    model = make_resnet(config, (image_size, image_size, 3), 5)
    adds = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Add)]
    images = np.random.default_rng(0).normal(size=(2, image_size, image_size, 3)).astype(np.float32)
    first, second = (tensor.numpy() for tensor in keras.Model(model.input, adds)(images))
    expected = np.zeros((2, 4, 4, 8), np.float32)
    expected[..., 2:6] = np.maximum(first, 0)[:, ::2, ::2]
    np.testing.assert_allclose(second, expected, atol=1e-6)


def test_the_tutorial_models_have_the_described_sizes():
    small = make_cnn(cnn.CNNConfig(), (28, 28, 1), 10)
    # 3 x 3 x 32 + 32; 14 x 14 x 32 x 128 + 128; 128 x 10 + 10
    assert small.count_params() == 320 + 802_944 + 1290
    # TensorFlow's MNIST tutorials: 64, 128, 1024.
    config = cnn.CNNConfig(filters=(64, 128), kernel_size=5, dense_units=(1024,), dropout=0.4)
    large = make_cnn(config, (28, 28, 1), 10)
    # 5 x 5 x 64 + 64; 5 x 5 x 64 x 128 + 128; 7 x 7 x 128 x 1024 + 1024; 1024 x 10 + 10
    assert large.count_params() == 1664 + 204_928 + 6_423_552 + 10_250


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize(
    "config", [cnn.CNNConfig, vgg.VGGConfig, resnet.ResNetConfig, ApplicationConfig, DCGANConfig, BERTConfig]
)
def test_an_invalid_dropout_rate_is_refused_by_every_family(config, dropout):
    with pytest.raises(UserError, match=f"--dropout must be at least 0 and below 1; received {dropout}"):
        config(dropout=dropout)


@pytest.mark.parametrize(
    "make",
    [
        lambda: cnn.CNNConfig(filters=()),
        lambda: cnn.CNNConfig(filters=(0,)),
        lambda: cnn.CNNConfig(dense_units=(-1,)),
        lambda: cnn.CNNConfig(dropout=1.0),
        lambda: vgg.VGGConfig(convolutions=(1, 1), filters=(4,)),
        lambda: resnet.ResNetConfig(blocks=(1, 1), filters=(4,)),
        lambda: resnet.ResNetConfig(blocks=(), filters=()),
        lambda: resnet.cifar(21),
        lambda: resnet.wide(20, 2),
        lambda: resnet.cifar(2),
    ],
)
def test_an_invalid_config_is_refused(make):
    with pytest.raises(UserError):
        make()
