"""Image backbones of KerasHub: our models compute what KerasHub does."""

from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
from tiny_backbones import IMAGE_SIZE, OFFSET, SHAPE, SIZES, make_backbone, save_preset

from karpa_tf.errors import UserError
from karpa_tf.keras_compat import flatten_layers
from karpa_tf.layers.convolution import convolve_groups
from karpa_tf.models.backbone import BACKBONES, list_presets, load_backbone, read_preset
from karpa_tf.models.classifiers import freeze_batch_norm, make_classifier, split_by_depth

FAST = ("ResNet", "ViT")
KINDS = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SIZES]
CLASS_TOKEN = ("ViT", "DeiT", "DINOV2", "DINOV3")


def load(preset, size=IMAGE_SIZE, channels=3):
    """Returns the model of a preset with three classes."""
    config, _ = read_preset(preset, 0.1)
    model = make_classifier(config, (size, size, channels), 3)
    load_backbone(model, config, preset)
    return model


@pytest.mark.parametrize("name", KINDS)
def test_features_and_logits_are_those_of_keras_hub_with_its_own_converter(name):
    compute_features = save_preset(name, "preset")
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)
    model = load("preset")
    names = ("features", "pooled", "logits")
    received = keras.Model(model.input, [model.get_layer(name).output for name in names])(pixels / 127.5 - 1)
    expected = np.asarray(compute_features(pixels))
    pooled = expected[:, 0] if name in CLASS_TOKEN else expected.mean(tuple(range(1, expected.ndim - 1)))
    kernel, bias = model.get_layer("logits").get_weights()
    for values, theirs in zip(received, (expected, pooled, pooled @ kernel + bias), strict=True):
        np.testing.assert_allclose(values, theirs, rtol=1e-4, atol=1e-4)
    # The moving average of a run is such a copy.
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(copy(pixels / 127.5 - 1), received[-1], rtol=1e-6, atol=1e-6)


def test_all_backbones_are_tested():
    assert {f"{name}Backbone" for name in SIZES} == set(BACKBONES)
    assert {"resnet_18_imagenet", "vit_base_patch16_224_imagenet", "dinov2_small"} <= set(list_presets())


@pytest.mark.slow
def test_the_layers_of_a_backbone_are_split_and_frozen_as_those_of_other_models():
    make_backbone("ViT").save_to_preset("vit")
    make_backbone("MobileNet").save_to_preset("mobilenet")
    head, *features = split_by_depth(load("vit"))
    assert [variable.path for variable in head] == ["logits/kernel", "logits/bias"]
    # The patches and the positions, then of each block two normalizations, four of attention and two dense; the last.
    assert sum(len({path.rsplit("/", 1)[0] for path in paths(group)}) for group in features) == 3 + 2 * 8 + 1
    assert [len(group) for group in features] == [10, 10, 10, 8]
    assert "transformer_block_2" in paths(features[0])[0] and "patch_embedding" in " ".join(paths(features[-1]))
    model = load("mobilenet")
    freeze_batch_norm(model)
    norms = [layer for layer in flatten_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 10 and not any(norm.trainable_variables for norm in norms)
    before = [norm.moving_mean.numpy() for norm in norms]
    model(np.zeros((2, *SHAPE)), training=True)
    np.testing.assert_array_equal(np.concatenate(before), np.concatenate([norm.moving_mean for norm in norms]))


def paths(variables):
    return [variable.path for variable in variables]


@pytest.mark.slow
def test_dinov2_interpolates_its_positions_to_our_image_size_and_a_run_keeps_those_that_it_trained():
    save_preset("DINOV2", "preset")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8)
    model = load("preset", 48)
    backbone = keras_hub.models.Backbone.from_preset("preset", image_shape=(48, 48, 3))
    expected = backbone({"images": pixels * np.float32((0.017, 0.018, 0.019)) + np.float32(OFFSET)})
    features = keras.Model(model.input, model.get_layer("features").output)
    np.testing.assert_allclose(features(pixels / 127.5 - 1), expected, rtol=1e-4, atol=1e-4)
    for index, weight in enumerate(model.trainable_weights):
        weight.assign(weight + 0.1 * keras.random.normal(weight.shape, seed=index))
    trained = model(pixels / 127.5 - 1)
    model.save_weights("trained.weights.h5")
    model = load("preset", 48)
    model.load_weights("trained.weights.h5")
    np.testing.assert_allclose(model(pixels / 127.5 - 1), trained, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_images_that_do_not_fit_are_refused_with_the_size_that_does():
    make_backbone("ViT").save_to_preset("preset")
    with pytest.raises(UserError, match="does not take images of 48x48 pixels.*--image-size 32 is that of the preset"):
        load("preset", 48)
    with pytest.raises(UserError, match="cannot be built for .*divisible by patch size.*--image-size 32 is that"):
        load("preset", 33)
    with pytest.raises(UserError, match="takes images with --channels 3; received 1"):
        load("preset", channels=1)


@pytest.mark.parametrize(("groups", "filters", "padding", "strides"), [(8, 16, "same", 2), (2, 4, "valid", 1)])
def test_convolutions_with_groups_compute_the_same_without_xla(groups, filters, padding, strides):
    layer = keras.layers.Conv2D(filters, 3, strides, padding, groups=groups, use_bias=False)
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 8)).astype(np.float32)
    expected = layer(x)
    received = convolve_groups(layer, x, keras.ops.convert_to_tensor(layer.kernel))
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)


def test_presets_that_are_no_image_backbones_are_refused():
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "patch_size": 8, "intermediate_dim": 16}
    keras_hub.models.CLIPVisionEncoder(**sizes, image_shape=SHAPE).save_to_preset("clip")
    with pytest.raises(UserError, match="clip is a CLIPVisionEncoder, .*; expected .*ResNetBackbone, .*ViTBackbone"):
        read_preset("clip", 0.1)
    text = {"vocabulary_size": 9, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
    keras_hub.models.BertBackbone(**text).save_to_preset("bert")
    with pytest.raises(UserError, match="bert is a BertBackbone, "):
        read_preset("bert", 0.1)


def test_folders_of_other_libraries_are_refused():
    Path("vit").mkdir()
    Path("vit", "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UserError, match="vit is no preset of KerasHub: its config.json is another library's"):
        read_preset("vit", 0.1)


def test_a_converter_that_does_more_than_multiply_and_add_is_refused(monkeypatch):
    save_preset("VGG", "preset")
    monkeypatch.setattr(keras_hub.layers.VGGImageConverter, "call", lambda self, pixels: pixels[..., ::-1])
    with pytest.raises(UserError, match="preset has a VGGImageConverter that does more than multiply and add"):
        read_preset("preset", 0.1)


def test_a_name_without_a_network_says_what_to_download(monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("no route\nto the host")

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", fail)
    message = r"resnet_18_imagenet cannot be loaded: no route to the host\. Where there is a network, run .*"
    with pytest.raises(
        UserError, match=message + r"ImageConverter.from_preset\('resnet_18_imagenet'\)\.save_to_preset"
    ):
        read_preset("resnet_18_imagenet", 0.1)
