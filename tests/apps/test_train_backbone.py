"""The classification program on image backbones of KerasHub, as a user runs it."""

import functools
import shutil
from pathlib import Path

import keras
import keras_hub
import numpy as np
import programs
import pytest
import yaml
from PIL import Image
from tiny_backbones import IMAGE_SIZE, save_preset

from apps import evaluate_classifier, train_classifier
from karpa_tf import cli
from karpa_tf.configs.classifier_evaluation import ClassifierEvaluationConfig
from karpa_tf.configs.classifier_presets import PRESETS
from karpa_tf.export.versions import load_version
from karpa_tf.tasks.classifier import load
from karpa_tf.training.run import Run

COLORS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
UNCHANGED = ("--flip", "none", "--crop-padding", "0", "--dropout", "0")


def make_data():
    random = np.random.default_rng(0)
    for name, color in COLORS.items():
        folder = Path("data", name)
        folder.mkdir(parents=True)
        for index in range(10):
            noise = random.integers(-30, 30, (IMAGE_SIZE, IMAGE_SIZE + 9, 3))
            Image.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")


def train(*words):
    words = (*words, "--export-dir", "models", "--no-baseline")
    return train_classifier.run(cli.parse(PRESETS, "", implied="images", args=list(words)))


def start(*words, init="preset"):
    words = (*words, "--data", "data", "--image-size", str(IMAGE_SIZE), "--batch-size", "10", "--init", init)
    return train("transfer", *words)


def final_weights(run):
    return load(Run(run)).model.get_weights()


@pytest.mark.slow
def test_a_run_goes_on_and_is_evaluated_without_the_preset_that_it_started_from(capsys):
    make_data()
    save_preset("VGG", "preset")
    pretrained = keras_hub.models.Backbone.from_preset("preset").get_weights()
    words = ("--epochs", "2", "--run", "run", "--cache-features", *UNCHANGED[:4], "--validation-fraction", "0")
    run = start(*words)
    assert "VGGBackbone for 32x32x3: 435 weights, of which 27 are trained" in capsys.readouterr().out
    expected = final_weights("run")
    for values, theirs in zip(expected, pretrained, strict=False):
        np.testing.assert_array_equal(values, theirs)
    backbone = keras_hub.models.Backbone.from_preset("preset")
    backbone.set_weights([2 * values for values in pretrained])
    backbone.save_to_preset("preset")
    resume = functools.partial(train, "--config", "run/config.yaml", "--run", "run")
    assert "begun with other data or weights" in programs.refusal(capsys, resume)
    shutil.rmtree("preset")
    shutil.rmtree(max(run.checkpoints.glob("step-*")))
    config = yaml.safe_load(run.config_file.read_text())
    assert config["model"]["family"] == "backbone" and "VGGBackbone" in config["model"]["backbone"]
    run = resume()
    assert "resumed after epoch 1" in capsys.readouterr().out
    for values, theirs in zip(final_weights("run"), expected, strict=True):
        np.testing.assert_allclose(values, theirs, rtol=1e-5, atol=1e-6)
    evaluate_classifier.run(cli.parse(ClassifierEvaluationConfig(), "", args=["--run", "run"]))
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_cached_features_train_the_same_head():
    make_data()
    save_preset("ResNet", "preset")
    words = ("--epochs", "3", *UNCHANGED)
    start(*words, "--run", "without")
    start(*words, "--run", "with", "--cache-features")
    for values, theirs in zip(final_weights("with"), final_weights("without"), strict=True):
        np.testing.assert_allclose(values, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT", "MobileNet"])
def test_layers_are_unfrozen_one_quarter_after_the_other(name, capsys):
    make_data()
    save_preset(name, "preset")
    before = keras_hub.models.Backbone.from_preset("preset")
    start("--epochs", "2", "--run", "run", "--unfreeze-every", "1", "--layer-decay", "0.5", "--ema", "0.5")
    assert "From epoch 2 on" in capsys.readouterr().out
    after = load(Run("run"), "last").model.get_layer("backbone")
    changed = [not np.array_equal(a, b) for a, b in zip(before.trainable_weights, after.trainable_weights, strict=True)]
    assert any(changed[-8:]) and not any(changed[: len(changed) // 2])
    # A later run starts from all of it.
    start("--epochs", "1", "--run", "second", "--freeze", "none", init="run")
    assert load(Run("second")).model.name == f"{name}Backbone"


@pytest.mark.slow
def test_the_export_gets_the_pixel_values_of_the_preset():
    make_data()
    compute_features = save_preset("EfficientNet", "preset")
    run = start("--epochs", "1", "--run", "run")
    pixels = np.random.default_rng(1).integers(0, 256, (2, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    kernel, bias = load(run).model.get_layer("logits").get_weights()
    expected = keras.ops.softmax(np.mean(compute_features(pixels), (1, 2)) @ kernel + bias)
    scores = load_version(run.metadata()["saved_model"])["images"](images=pixels)["scores"]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)


def test_what_init_may_name_is_said_where_it_names_nothing(capsys):
    error = programs.refusal(capsys, lambda: start(init="resnet_18_imagenets"))
    assert "no such folder, and it is neither a model of keras.applications nor an image backbone of KerasHub" in error
    assert "did you mean resnet_18_imagenet?" in error
    error = programs.refusal(capsys, lambda: train("transfer_keras_hub", "--data", "data", "--init", "None"))
    assert "--freeze needs --init" in error
    save_preset("VGG", "preset")
    error = programs.refusal(capsys, lambda: start("--sync-batch-norm"))
    assert "--sync-batch-norm is not for backbones of KerasHub" in error
    error = programs.refusal(capsys, lambda: start("--init-weights", "x.weights.h5"))
    assert "--init-weights is for models of keras.applications" in error


@pytest.mark.slow
def test_a_preset_that_does_not_say_which_pixel_values_it_takes_is_used_with_a_warning(capsys):
    make_data()
    save_preset("VGG", "preset")
    Path("preset", "image_converter.json").unlink()
    start("--dry-run")
    assert "preset has no image_converter.json, so that its backbone gets pixel values from 0 to 255" in (
        capsys.readouterr().err
    )
