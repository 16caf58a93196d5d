"""Metrics of classifiers, against their definitions in NumPy."""

import warnings

import numpy as np
import pytest
import sklearn.metrics

from karpa_tf.metrics import classification as metrics


def make_predictions(seed, n=200, classes=6):
    """Labels and probabilities, with ties and a class that never occurs."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes - 1, n)
    probabilities = rng.dirichlet(np.full(classes, 0.7), n)
    probabilities[::10] = 1 / classes
    return labels, probabilities


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_is_the_fraction_of_correct_predictions(seed):
    labels, probabilities = make_predictions(seed)
    accuracy = metrics.summarize(labels, probabilities)["accuracy"]
    assert accuracy == pytest.approx(np.mean(probabilities.argmax(1) == labels))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_top_k_accuracy_counts_labels_among_the_k_largest_probabilities(k):
    labels, probabilities = make_predictions(0)
    order = np.argsort(probabilities, axis=1, kind="mergesort")[:, ::-1][:, :k]
    expected = np.mean((order == labels[:, None]).any(1))
    assert metrics.summarize(labels, probabilities)[f"top_{k}_accuracy"] == pytest.approx(expected)


def test_top_k_accuracy_is_left_out_where_it_is_one():
    labels, probabilities = make_predictions(0, classes=3)
    names = set(metrics.summarize(labels, probabilities))
    assert "top_2_accuracy" in names and not names & {"top_3_accuracy", "top_5_accuracy"}


def test_precision_recall_and_f1_follow_from_the_counts_of_each_class():
    labels, probabilities = make_predictions(1)
    predictions = probabilities.argmax(1)
    values = metrics.summarize_classes(labels, probabilities)
    for index in range(6):
        correct = np.sum((labels == index) & (predictions == index))
        predicted, actual = np.sum(predictions == index), np.sum(labels == index)
        assert values["count"][index] == actual
        assert values["precision"][index] == pytest.approx(correct / predicted if predicted else 0)
        assert values["recall"][index] == pytest.approx(correct / actual if actual else 0)
        assert values["f1"][index] == pytest.approx(2 * correct / (predicted + actual) if predicted + actual else 0)


def test_macro_means_leave_out_classes_without_examples():
    labels, probabilities = make_predictions(2)
    per_class, summary = metrics.summarize_classes(labels, probabilities), metrics.summarize(labels, probabilities)
    assert per_class["count"].tolist()[-1] == 0
    for name in ("precision", "recall", "f1"):
        assert summary[f"macro_{name}"] == pytest.approx(per_class[name][:-1].mean())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_log_loss_is_that_of_scikit_learn(dtype):
    labels, probabilities = make_predictions(3)
    probabilities = probabilities.astype(dtype)
    probabilities[0, labels[0]] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sklearn.metrics.log_loss(labels, probabilities.astype(float), labels=np.arange(6))
    assert metrics.compute_log_loss(labels, probabilities) == pytest.approx(expected, abs=1e-9)
    expected = -np.log(np.maximum(probabilities[np.arange(200), labels].astype(float), np.finfo(float).eps)).mean()
    assert metrics.compute_log_loss(labels, probabilities) == pytest.approx(expected, abs=1e-12)


def test_calibration_compares_confidence_and_accuracy_bin_by_bin():
    labels, probabilities = make_predictions(4)
    result = metrics.calibration(labels, probabilities, bins=10)
    confidence, is_correct = probabilities.max(1), probabilities.argmax(1) == labels
    ece = 0
    for index in range(10):
        members = (confidence > index / 10) & (confidence <= (index + 1) / 10)
        assert result["count"][index] == members.sum()
        if members.any():
            assert result["confidence"][index] == pytest.approx(confidence[members].mean())
            assert result["accuracy"][index] == pytest.approx(is_correct[members].mean())
            ece += members.mean() * abs(confidence[members].mean() - is_correct[members].mean())
        else:
            assert np.isnan(result["confidence"][index]) and np.isnan(result["accuracy"][index])
    assert result["ece"] == pytest.approx(ece)


def test_a_perfect_classifier_is_calibrated():
    assert metrics.calibration(np.array([0, 1]), np.eye(2))["ece"] == 0
