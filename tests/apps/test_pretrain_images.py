"""Masked image modeling as a user runs it, and a classifier that starts from it."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import programs
import pytest
import tensorflow as tf
from PIL import Image

from apps import pretrain_images, train_classifier
from karpa_tf import cli
from karpa_tf.tasks import classifier, masked_image
from karpa_tf.training.run import Run

SMOKE = pretrain_images.PRESETS["smoke"]
VIT = dataclasses.replace(
    train_classifier.PRESETS["cifar10_vit"], data="digits", epochs=1, validate_on="validation", baseline=False
)


def config_of(*words):
    return cli.parse(pretrain_images.PRESETS, pretrain_images.__doc__, implied="images", args=list(words))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The run of the smoke preset and the folder of its SavedModel."""
    folder = tmp_path_factory.mktemp("smoke")
    config = dataclasses.replace(SMOKE, run=str(folder / "run"), export_dir=str(folder / "models"))
    run = pretrain_images.run(config)
    return run, Path(run.metadata()["saved_model"])


def test_a_run_writes_its_report_beside_baselines_and_draws_images(smoke):
    run, _ = smoke
    report = json.loads((run.eval / "report.json").read_text())
    assert report["count"] == 143 and 0.1 < report["probe_accuracy"] < 1
    single_color, random, pixels = report["baselines"]
    assert report["loss"] < single_color["loss"] < 1
    assert pixels["probe_accuracy"] > 0.9 and random["name"].endswith("random weights")
    with Image.open(run.samples / "epoch-00001.png") as grid:
        assert grid.size[0] / grid.size[1] == 3  # four images in a row, each three times, in four rows
    assert (run.samples / "training.gif").exists()
    assert "logistic regression on embeddings of random weights" in (run.path / "report.html").read_text()


def test_the_export_embeds_files_and_pixels_and_draws_what_is_masked(smoke):
    run, folder = smoke
    signatures = tf.saved_model.load(str(folder)).signatures
    file = sorted(run.examples.glob("*.png"))[0].read_bytes()
    pixels = tf.io.decode_png(file, channels=1)[None]
    embedding = signatures["images"](images=pixels)["embedding"].numpy()
    from_file = signatures["serving_default"](image_bytes=tf.constant([file]))["embedding"]
    np.testing.assert_allclose(from_file, embedding, atol=1e-5)
    finished = masked_image.load(run)
    expected = masked_image.make_encoder(finished)(tf.cast(pixels, tf.float32) / 127.5 - 1)
    np.testing.assert_allclose(embedding, expected, atol=1e-5)
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 1, 2] = True
    drawn = signatures["reconstruct"](images=pixels, mask=tf.constant(mask))["images"].numpy()
    is_masked = np.zeros((16, 16), bool)
    is_masked[4:8, 8:12] = True
    np.testing.assert_array_equal(drawn[0, ~is_masked], pixels.numpy()[0, ~is_masked])
    assert (drawn[0, is_masked] != pixels.numpy()[0, is_masked]).any()


def test_a_classifier_starts_with_the_features_of_the_encoder(smoke):
    pretrained, _ = smoke
    transfer = dataclasses.replace(VIT.transfer, init=str(pretrained.path))
    config = classifier.resolve_init(dataclasses.replace(VIT, transfer=transfer))
    assert (config.image_size, config.channels, config.model.hidden_dim) == (16, 1, 16)
    assert config.model.stochastic_depth == VIT.model.stochastic_depth
    splits = classifier.load_data(config)
    model = classifier.make_trainer(config, splits, 10).network
    pooled = keras.Model(model.input, model.get_layer("pooled").output)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 1)).astype(np.float32)
    expected = masked_image.make_encoder(masked_image.load(pretrained))(images)
    np.testing.assert_allclose(pooled(images), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["smoke", "--mask-rate", "0.99"], "--mask-rate 0.99 masks 16 of the 16 patches"),
        (["smoke", "--patch-size", "5"], "--patch-size must divide"),
        (["smoke", "--patch-size", "1"], "use --no-normalize-targets"),
        (["smoke", "--mixup", "0.2"], "--mixup and --cutmix are for classes"),
        (["smoke", "--decoder-heads", "5"], "--decoder-heads must divide --decoder-dim"),
        (["--data", "nothing"], "there is no such folder or data set"),
    ],
)
def test_impossible_settings_are_refused(words, expected, capsys):
    assert expected in programs.refusal(capsys, lambda: pretrain_images.run(config_of(*words)))


def test_another_patch_size_than_that_of_earlier_versions_is_refused_before_training(smoke, capsys):
    config = dataclasses.replace(SMOKE, model=dataclasses.replace(SMOKE.model, patch_size=2), run="other")
    config = dataclasses.replace(config, export_dir=str(smoke[1].parent.parent))
    assert "another patch size (4, now 2)" in programs.refusal(capsys, lambda: pretrain_images.run(config))


def test_a_classifier_of_another_family_cannot_start_from_it(smoke, capsys):
    words = ["smoke", "--init", str(smoke[0].path)]
    error = programs.refusal(
        capsys,
        lambda: train_classifier.run(cli.parse(train_classifier.PRESETS, "", implied="images", args=words)),
    )
    assert "is a vision transformer; choose a preset for one" in error


@pytest.mark.slow
def test_images_without_labels_are_not_probed(images):
    for index, image in enumerate(images):
        Path("photos").mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(f"photos/{index}.png")
    config = config_of("smoke", "--data", "photos", "--batch-size", "8", "--validation-fraction", "0", "--run", "run")
    run = pretrain_images.run(config)
    assert set(json.loads((run.eval / "report.json").read_text())) == {"samples"}
    assert Run("run").metadata()["data"]["splits"]["train"]["count"] == 40
