"""Exports that start from published networks: from an image file to the scores that Keras' own code computes."""

import importlib
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_backbones import save_preset

from apps import train_classifier
from karpa_tf import cli
from karpa_tf.configs.application import APPLICATIONS, ApplicationConfig
from karpa_tf.configs.classifier_presets import PRESETS
from karpa_tf.export.classifier import make_classifier_export, make_classifier_functions
from karpa_tf.export.versions import load_version, write
from karpa_tf.models.application import load_application, make_application, preprocess
from karpa_tf.tasks.classifier import load

SHARED = Path(os.environ.get("KARPA_DATA", Path(__file__).parents[3] / "shared" / "data"))
CLASSES = ("cat", "dog", "horse")
MODULES = {
    "MobileNet": "mobilenet",
    "VGG16": "vgg16",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3Small": "mobilenet_v3",
    "ResNet50": "resnet",
    "ResNet50V2": "resnet_v2",
    "DenseNet121": "densenet",
    "EfficientNetB0": "efficientnet",
    "EfficientNetV2B0": "efficientnet_v2",
    "ConvNeXtTiny": "convnext",
    "InceptionV3": "inception_v3",
    "InceptionResNetV2": "inception_resnet_v2",
    "Xception": "xception",
    "NASNetMobile": "nasnet",
}
"""A network of every module of `keras.applications`."""


def make_files(count=4):
    """Returns PNG files of random content, no two of the same shape and none square, as a list of bytes."""
    random = np.random.default_rng(0)
    shapes = [(90 + 7 * index, 130 - 11 * index, 3) for index in range(count)]
    return [tf.io.encode_png(random.integers(0, 256, shape, np.uint8)).numpy() for shape in shapes]


def make_squares(files, size):
    """Returns the central squares of PNG files, float32 (n, size, size, 3) in [0, 255], rounded as pixels are."""
    squares = []
    for file in files:
        pixels = tf.io.decode_png(file).numpy()
        rows, columns = ((length - min(pixels.shape[:2])) // 2 for length in pixels.shape[:2])
        pixels = pixels[rows : rows + min(pixels.shape[:2]), columns : columns + min(pixels.shape[:2])]
        squares.append(tf.image.resize(pixels, (size, size), "lanczos3", antialias=True))
    return np.clip(np.round(squares), 0, 255)


def compute_expected(name, model, squares, **options):
    """Returns the scores by `preprocess_input` and the network of `keras.applications` with the weights of `model`."""
    module = importlib.import_module(f"keras.applications.{MODULES[name]}")
    network = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=squares.shape[1:], **options
    )
    network.set_weights(model.get_weights()[: len(network.weights)])
    kernel, bias = model.get_layer("logits").get_weights()
    features = np.mean(network(module.preprocess_input(squares.copy()), training=False), (1, 2))
    return keras.ops.softmax(features @ kernel + bias).numpy()


def calibrate(model, size):
    """Sets the batch statistics to those of random images, so that outputs of a random network differ."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(make_squares(make_files(), size) / 127.5 - 1, training=True)


def make_model(name, size, **options):
    """Returns a classifier of small images with a random network."""
    model = make_application(ApplicationConfig(application=name, **options), (size, size, 3), len(CLASSES))
    calibrate(model, size)
    # Random networks enlarge rounding errors; the outputs are made to differ by about a hundredth.
    logits, kernel = model(make_squares(make_files(), size) / 127.5 - 1), model.get_layer("logits").kernel
    kernel.assign(kernel * 0.01 / np.std(logits, axis=0).mean())
    return model


def check(function, name, model, size, **options):
    files = make_files()
    received = function(image_bytes=tf.constant(files))["scores"]
    expected = compute_expected(name, model, make_squares(files, size), **options)
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "options"), [("MobileNet", {"alpha": 0.25}), ("VGG16", {})])
def test_the_scores_of_an_image_file_are_those_of_keras_applications(name, options):
    model = make_model(name, 32, **options)
    check(make_classifier_functions(model, CLASSES)["serving_default"], name, model, 32, **options)


@pytest.mark.parametrize("name", MODULES)
def test_pixels_are_those_that_every_module_of_keras_applications_makes_of_images(name):
    images = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)
    expected = importlib.import_module(f"keras.applications.{MODULES[name]}").preprocess_input(images.copy())
    np.testing.assert_allclose(preprocess(images / 127.5 - 1, name), expected, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", "DenseNet121", "EfficientNetB0", "ConvNeXtTiny"])
def test_a_saved_model_contains_the_preprocessing(name):
    model = make_model(name, 76)
    version = write(Path("models", "small"), make_classifier_export(model, CLASSES, task="image classification"))
    check(load_version(version)["serving_default"], name, model, 76)


@pytest.mark.slow
@pytest.mark.parametrize("preset", [name for name, config in PRESETS.items() if config.transfer.init])
def test_the_scores_of_every_preset_with_a_published_network_are_those_of_its_own_code(preset):
    config, random = PRESETS[preset], np.random.default_rng(0)
    size = config.image_size
    for name in CLASSES:
        Path("data", name).mkdir(parents=True)
        for index in range(8):
            pixels = random.integers(0, 256, (90 + index, 130, 3), np.uint8)
            Path("data", name, f"{index}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    words = [preset, "--data", "data", "--epochs", "1", "--batch-size", "8", "--export-dir", "models", "--run", "run"]
    if config.transfer.init in APPLICATIONS:
        network = getattr(keras.applications, config.transfer.init)(
            include_top=False, weights=None, input_shape=(size, size, 3)
        )
        calibrate(network, size)
        network.save_weights("random.weights.h5")
        words += ["--init-weights", "random.weights.h5"]
    else:
        compute_features = save_preset("ResNet", "preset")
        words += ["--init", "preset"]
    run = train_classifier.run(cli.parse(PRESETS, "", implied="images", args=words))
    model, version = load(run).model, run.metadata()["saved_model"]
    if config.transfer.init in APPLICATIONS:
        check(load_version(version)["serving_default"], config.transfer.init, model, size)
    else:
        kernel, bias = model.get_layer("logits").get_weights()
        features = np.mean(compute_features(make_squares(make_files(), size), size), (1, 2))
        received = load_version(version)["serving_default"](image_bytes=tf.constant(make_files()))["scores"]
        np.testing.assert_allclose(received, keras.ops.softmax(features @ kernel + bias), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="there are no weights in $KARPA_DATA/weights")
@pytest.mark.parametrize(
    ("file", "name", "alpha"),
    [
        ("mobilenet_v1_0.25_224_top", "MobileNet", 0.25),
        ("mobilenet_v2_0.35_224_notop", "MobileNetV2", 0.35),
        ("mobilenetv2_160_no_top", "MobileNetV2", 1.0),
    ],
)
def test_files_of_weights_for_other_image_sizes_are_loaded_with_and_without_a_head(file, name, alpha):
    config, file = ApplicationConfig(application=name, alpha=alpha), SHARED / "weights" / f"{file}.weights.h5"
    model = make_application(config, (96, 96, 3), len(CLASSES))
    load_application(model, config, file)
    has_head = "notop" not in file.name and "no_top" not in file.name
    network = getattr(keras.applications, name)(alpha=alpha, include_top=has_head, weights=None)
    network.load_weights(file)
    for weight, own in zip(model.weights[:-2], network.weights, strict=not has_head):
        np.testing.assert_array_equal(weight, own)


def test_every_application_of_keras_can_be_named():
    names = {name for name in dir(keras.applications) if callable(getattr(keras.applications, name))}
    assert names == set(APPLICATIONS)
