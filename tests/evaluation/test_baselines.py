"""The classifiers that a network is compared with."""

import dataclasses
import json

import numpy as np
import pytest
import sklearn.metrics
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from karpa_tf.configs.labeled import LabeledConfig
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.data.text.labeled import TextSet
from karpa_tf.evaluation import baselines
from karpa_tf.evaluation.baselines import measure_image_baselines, measure_text_baselines
from karpa_tf.evaluation.classification import save_report
from karpa_tf.metrics.intervals import paired_difference

CONFIG = LabeledConfig()
COLORS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))


def make_images(count, seed=0, classes=3, channels=3):
    """Noisy images of one color, or gray level, per class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count).astype(np.int32)
    colors = np.array(COLORS)[labels][:, None, None, :channels]
    images = (colors + rng.integers(-39, 40, (count, 12, 10, channels))).astype(np.uint8)
    return ImageSet("colors", images, "0", labels=labels, classes=tuple(map(str, range(classes))))


def make_texts(texts, labels, classes=("a", "b")):
    return TextSet("texts", tuple(texts), np.array(labels, np.int32), classes)


def read_figures(rows):
    return [(row["accuracy"], row["log_loss"]) for row in rows]


def test_the_most_frequent_class_is_scored_by_its_frequency_in_training():
    train, split = make_texts("xxxy", [0, 0, 0, 1]), make_texts("xy", [0, 1])
    row = measure_text_baselines(train, split, CONFIG)[0]
    assert row["name"] == "most frequent class" and row["accuracy"] == 0.5
    assert row["log_loss"] == pytest.approx(-(np.log(4 / 6) + np.log(2 / 6)) / 2)


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_text_baseline_is_that_of_scikit_learn(weights):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    words = np.array(["good film", "bad film", "the end", "so so"])
    texts = [" ".join(words[rng.choice(4, 3, p=(0.4, 0.2, 0.2, 0.2) if y else (0.1, 0.5, 0.2, 0.2))]) for y in labels]
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    model = LogisticRegression(C=10, solver="liblinear", class_weight=None if weights == "none" else weights)
    model.fit(vectorizer.fit_transform(texts[:200]), labels[:200])
    probabilities = model.predict_proba(vectorizer.transform(texts[200:]))
    config = dataclasses.replace(CONFIG, class_weights=weights)
    row = measure_text_baselines(make_texts(texts[:200], labels[:200]), make_texts(texts[200:], labels[200:]), config)[
        1
    ]
    assert row["name"] == "TF-IDF with logistic regression" and 0.6 < row["accuracy"] < 1
    assert row["accuracy"] == np.mean(probabilities.argmax(1) == labels[200:])
    assert row["log_loss"] == pytest.approx(sklearn.metrics.log_loss(labels[200:], probabilities), rel=1e-3)


def test_features_are_means_of_cells_and_roots_of_color_fractions(monkeypatch):
    monkeypatch.setattr(baselines, "CHUNK_SIZE", 3)
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 24, 3), dtype=np.uint8)
    features = baselines.compute_features(images, np.array([6, 0, 2, 4]))
    cells = images.reshape(7, 8, 2, 8, 3, 3).mean((2, 4))
    np.testing.assert_allclose(features[:, :192], cells[[6, 0, 2, 4]].reshape(4, -1), rtol=1e-5)
    histogram, _ = np.histogramdd(images[6].reshape(-1, 3), bins=[4] * 3, range=[(0, 256)] * 3)
    np.testing.assert_allclose(features[0, 192:], np.sqrt(histogram.transpose(2, 1, 0).ravel() / 384), rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_told_apart_by_color_or_gray_level(channels):
    classes = 2 if channels == 1 else 3
    train, split = make_images(60, 0, classes, channels), make_images(40, 1, classes, channels)
    rows = measure_image_baselines(train, split, CONFIG)
    assert rows[1]["accuracy"] == 1 and rows[1]["log_loss"] < rows[0]["log_loss"]


def test_figures_are_the_same_again_and_a_sample_of_the_images_depends_on_the_seed(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_IMAGES", 20)
    train, split = make_images(200), make_images(100, 1)
    first, again, other = (
        read_figures(measure_image_baselines(train, split, dataclasses.replace(CONFIG, seed=seed)))
        for seed in (3, 3, 4)
    )
    assert first == again and first[1] != other[1]


def test_a_class_without_training_examples_has_probability_0():
    train, split = make_images(60, classes=2), make_images(60, 1, classes=3)
    row = measure_image_baselines(dataclasses.replace(train, classes=split.classes), split, CONFIG)[1]
    assert row["accuracy"] == np.mean(split.labels < 2) and np.isfinite(row["log_loss"])


def test_one_class_alone_has_no_trained_baseline():
    train = make_texts(["x", "y"], [1, 1])
    assert [row["name"] for row in measure_text_baselines(train, train, CONFIG)] == ["most frequent class"]


@pytest.mark.parametrize(
    "texts", [("😀", "😡"), ("我很高兴今天", "他非常生气了"), ("ดีมาก", "แย่"), ("!!", "??"), ("_", "1")]
)
def test_texts_without_words_or_spaces_are_told_apart(texts):
    train, split = make_texts(texts * 5, [0, 1] * 5), make_texts([f"{text} {text}" for text in texts], [0, 1])
    assert measure_text_baselines(train, split, CONFIG)[1]["accuracy"] == 1


def test_more_classes_than_examples_and_a_limit_below_one_example_per_class(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_CHARACTERS", 10)
    texts = [f"word{i}" for i in range(30)]
    train = make_texts(texts, range(30), tuple(map(str, range(1000))))
    assert measure_text_baselines(train, train, CONFIG)[1]["accuracy"] == 1


@pytest.mark.parametrize(("alone", "says_so"), [(0.7, True), (0.8, True), (0.82, False)])
def test_a_network_that_is_better_only_with_its_other_parts_is_named(alone, says_so, capsys):
    row = {"name": "TF-IDF", "accuracy": 0.8, "log_loss": 0.5, "seconds": 0.1}
    parts = [{"name": "the network alone", "accuracy": alone}]
    baselines.print_comparison({"accuracy": 0.85, "count": 80, "baselines": [row], "parts": parts})
    assert ("But the network alone is not better than TF-IDF" in capsys.readouterr().out) == says_so


@pytest.mark.parametrize(
    ("accuracy", "gain", "says_so", "chance"),
    [
        (0.7, (-0.2, -0.05), True, "-20.0 to -5.0 percentage points (n = 80): more than chance."),
        (0.8, (-0.05, 0.05), True, "it may be chance."),
        (0.81, (-0.05, 0.07), False, "it may be chance."),
        (0.9, (0.02, 0.17), False, "+2.0 to +17.0 percentage points (n = 80): more than chance."),
    ],
)
def test_a_network_that_is_not_better_is_named_and_how_far_that_may_be_chance(accuracy, gain, says_so, chance, capsys):
    row = {"name": "TF-IDF with logistic regression", "accuracy": 0.8, "log_loss": 0.5, "seconds": 0.1}
    row |= dict(zip(("accuracy_gain_low", "accuracy_gain_high"), gain, strict=True))
    rows = [row | {"name": "other", "accuracy": 0.1}, row]
    baselines.print_comparison({"accuracy": accuracy, "count": 80, "baselines": rows})
    lines = capsys.readouterr().out.splitlines()
    assert "80.00% by TF-IDF with logistic regression" in lines[1] and lines[-1].endswith(chance)
    assert (len(lines) == 4) == says_so
    assert lines[2].startswith("The network is not better than its baseline, TF-IDF") == says_so


def test_a_report_without_baselines_prints_nothing(capsys):
    baselines.print_comparison({"accuracy": 0.5})
    assert capsys.readouterr().out == ""


def test_the_report_has_the_paired_interval_of_the_gain_and_no_array(tmp_path):
    train, split = make_texts("xxxy", [0, 0, 0, 1]), make_texts("xyyy", [0, 1, 1, 1])
    rows = measure_text_baselines(train, split, CONFIG)[:1]  # right on the first text only
    report = save_report(tmp_path, split, np.eye(2)[[1, 1, 1, 1]], "text", rows)  # right on the others
    row = json.loads((tmp_path / "report.json").read_text())["baselines"][0]
    assert row == report["baselines"][0] and "is_correct" not in row
    low, high = paired_difference(np.array([False, True, True, True]), np.array([True, False, False, False]))
    assert (row["accuracy_gain_low"], row["accuracy_gain_high"]) == (low, high)
