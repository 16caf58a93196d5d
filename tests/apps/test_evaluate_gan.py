"""The program that compares generated images with real ones, as a user runs it."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from programs import refusal

from apps import evaluate_gan, train_classifier, train_gan
from karpa_tf import cli
from karpa_tf.evaluation import image_features
from karpa_tf.evaluation.generated_images import draw_normal_images
from karpa_tf.evaluation.image_features import load_features
from karpa_tf.metrics import gan as metrics
from karpa_tf.tasks.gan import load_classifier

NUMBERS = {"count", "frechet_distance", "kernel_distance", "kernel_distance_error"}
NUMBERS |= {"precision", "recall", "density", "coverage"}


def evaluate(*words):
    return evaluate_gan.run(cli.parse(evaluate_gan.Config(), evaluate_gan.__doc__, args=list(words)))


def write_images(folder, images):
    Path(folder).mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(f"{folder}/{number:03}.png")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The runs of the smoke presets of a GAN and of a classifier of the same images."""
    folder = tmp_path_factory.mktemp("runs")
    for app, name in ((train_gan, "gan"), (train_classifier, "classifier")):
        smoke = dataclasses.replace(app.PRESETS["smoke"], run=str(folder / name), export_dir=str(folder / "models"))
        app.run(smoke)
    return folder


def test_a_run_is_compared_with_its_data_beside_baselines_on_its_page(runs, capsys):
    report = evaluate("--run", str(runs / "gan"), "-n", "64", "--features", str(runs / "classifier"))
    assert report.keys() >= NUMBERS | {"inception_score", "features_fingerprint"} and report["count"] == 64
    others, normal = report["baselines"]
    assert others["frechet_distance"] < report["frechet_distance"] and others["kernel_distance_error"] > 0
    assert others["count"] == normal["count"] == 64 and normal["name"] == "normal distribution of pixels"
    folder = runs / "gan" / "eval" / "images"
    assert json.loads((folder / "report.json").read_text()) == report
    assert Image.open(folder / "neighbors.png").size[0] > 6 * 16
    assert "Evaluation on images" in (runs / "gan" / "report.html").read_text()
    assert "64 images of each kind against 64 of digits, by classifier of 10 classes" in capsys.readouterr().out


def test_folders_are_compared_by_pixels_and_a_copy_is_found_out(monkeypatch):
    monkeypatch.setattr(image_features, "PIXEL_SIZE", 6)
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 8, 8, 3), dtype=np.uint8)
    write_images("real", images[0])
    write_images("fake", images[1])
    write_images("copies", images[0])
    words = ("--real", "real", "--image-size", "8", "--cache-dir", "cache")
    report = evaluate(*words, "--fake", "copies", "--out", "out")
    others = report["baselines"][0]
    assert report["count"] == others["count"] == 20
    assert report["kernel_distance"] < others["kernel_distance"]  # half of the copies are of the same images
    grid = np.asarray(Image.open("out/neighbors.png").convert("RGB"))
    first, second = grid[:, : grid.shape[1] // 6], grid[:, grid.shape[1] // 6 : 2 * (grid.shape[1] // 6)]
    assert (first == second).mean() > 0.9  # every image beside itself
    assert report["frechet_distance"] < evaluate(*words, "--fake", "fake", "--out", "out")["frechet_distance"]
    assert len(list(Path("cache").glob("features-*"))) == 1  # the real images' are computed once


def test_features_of_a_classifier_are_the_inputs_of_its_last_layer(runs):
    features = load_features(str(runs / "classifier"), None, load_classifier)
    images = np.random.default_rng(0).integers(0, 256, (5, 20, 20, 3), dtype=np.uint8)  # other size and channels
    values, probabilities = features.compute(images, "")
    assert values.shape[0] == 5 and probabilities.shape == (5, 10)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(features.compute(images[3:4], "")[0], values[3:4], atol=1e-4)


def test_the_baseline_has_the_mean_and_covariance_of_the_pixels():
    images = np.random.default_rng(0).normal(128, 10, (300, 2, 2, 1)).round().astype(np.uint8)
    images[:, 0, 0] = images[:, 1, 1]
    drawn = draw_normal_images(images, 4000).reshape(4000, -1).astype(float)
    real = images.reshape(300, -1).astype(float)
    np.testing.assert_allclose(drawn.mean(0), real.mean(0), atol=1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(real.T), atol=10)
    assert metrics.frechet_distance(real, drawn) < 2


@pytest.mark.slow
def test_features_of_inception_need_a_file_of_weights():
    model = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg", input_shape=(299, 299, 3))
    model.save_weights("inception.weights.h5")
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    values, probabilities = load_features("inception", "inception.weights.h5", None).compute(images, "")
    pixels = keras.ops.image.resize(np.repeat(images, 3, -1).astype(np.float32), (299, 299), antialias=True)
    np.testing.assert_allclose(values, model(pixels / 127.5 - 1), rtol=1e-3, atol=1e-4)
    assert probabilities is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give --run DIR, the run of a GAN, or --real DIR and --fake DIR"),
        (["--fake", "few"], "Give --run DIR"),
        (["--real", "few", "--fake", "few"], "3 generated and 3 real images; expected at least 20 and 40"),
        (["--real", "few", "--fake", "none"], "--fake none: there is no such folder or data set"),
        (["--run", "none"], "--run none holds no run"),
        (["--run", "classifier"], "--run classifier holds no run of train_gan"),
        (["--run", "gan", "-n", "5"], "5 generated and 10 real images; expected at least 20 and 40"),
        (["--run", "gan", "--features", "none"], "expected pixels, inception, or the run folder of a classifier"),
        (["--run", "gan", "--features", "gan"], "--features gan holds no run of train_classifier"),
        (["--run", "gan", "--features", "inception"], "--features inception needs --weights FILE"),
        (["--run", "gan", "--features", "inception", "--weights", "none.h5"], "--weights none.h5 cannot be loaded"),
        (["--run", "gan", "--weights", "file"], "--weights is for --features inception"),
        (["--run", "gan", "-n", "0"], "--n must be above 0"),
    ],
)
def test_wrong_input_is_answered_in_one_sentence(runs, words, message, capsys):
    write_images("few", np.zeros((3, 8, 8, 3), np.uint8))
    for name in ("gan", "classifier"):
        Path(name).symlink_to(runs / name)
    assert message in refusal(capsys, lambda: evaluate(*words))
