"""Every figure against scikit-learn's."""

import warnings

import numpy as np
import pytest
import sklearn.metrics

from karpa_tf.metrics import classification as metrics
from karpa_tf.metrics import language


@pytest.fixture(params=[0, 1, 2])
def answers(request):
    """Labels int (400,) of six classes, of which class 4 never comes and class 5 is never said, and probabilities."""
    rng = np.random.default_rng(request.param)
    labels = rng.choice([0, 1, 2, 3, 5], 400, p=[0.4, 0.3, 0.2, 0.05, 0.05])
    logits = rng.normal(size=(400, 6)) * 1.5
    logits[np.arange(400), labels] += 1
    logits[:, 5] = -9
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels, probabilities


def test_accuracy_and_top_k(answers):
    labels, probabilities = answers
    assert metrics.accuracy(labels, probabilities) == pytest.approx(
        sklearn.metrics.accuracy_score(labels, probabilities.argmax(1)), abs=1e-9
    )
    for k in (1, 2, 5):
        expected = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=np.arange(6))
        assert metrics.top_k_accuracy(labels, probabilities, k) == pytest.approx(expected, abs=1e-9)


def test_top_k_of_equal_probabilities():
    labels, probabilities = np.array([0, 1, 2, 3, 0, 3]), np.full((6, 4), 0.25)
    for k in (1, 2, 3):
        expected = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=np.arange(4))
        assert metrics.top_k_accuracy(labels, probabilities, k) == pytest.approx(expected, abs=1e-9)


def test_the_confusion_matrix(answers):
    labels, probabilities = answers
    expected = sklearn.metrics.confusion_matrix(labels, probabilities.argmax(1), labels=np.arange(6))
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, probabilities.argmax(1), 6), expected)


def test_precision_recall_and_f1_of_every_class(answers):
    labels, probabilities = answers
    predictions = probabilities.argmax(1)
    found = metrics.precision_recall_f1(metrics.confusion_matrix(labels, predictions, 6))
    expected = sklearn.metrics.precision_recall_fscore_support(
        labels, predictions, labels=np.arange(6), zero_division=0
    )
    for ours, theirs in zip(found, expected[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_log_loss(answers):
    labels, probabilities = answers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sklearn.metrics.log_loss(labels, probabilities, labels=np.arange(6))
    assert metrics.log_loss(labels, probabilities) == pytest.approx(expected, abs=1e-9)


def test_calibration_by_another_way_of_counting(answers):
    labels, probabilities = answers
    found = metrics.calibration(labels, probabilities, bins=10)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    ece = 0.0
    for i in range(10):
        inside = (confidence > i / 10) & (confidence <= (i + 1) / 10)
        assert found["count"][i] == inside.sum()
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            ece += inside.mean() * gap
            assert found["accuracy"][i] == pytest.approx(right[inside].mean(), abs=1e-9)
    assert found["ece"] == pytest.approx(ece, abs=1e-9)


def test_calibration_of_the_certain_and_right_is_perfect():
    assert metrics.calibration(np.array([0, 1]), np.eye(2))["ece"] == 0


def test_guessing_by_frequency_counted_by_hand():
    counts = np.array([0, 6, 1, 0])  # with one added to each: 1, 7, 2 and 1 of 11
    perplexity, accuracy = language.unigram(np.array([1, 1, 2, 3]), counts)
    assert perplexity == pytest.approx((7 * 7 * 2 * 1 / 11**4) ** -0.25)
    assert accuracy == 0.5


def test_guessing_by_frequency_never_beats_the_entropy_of_its_own_text():
    ids = np.random.default_rng(0).zipf(1.5, 5000) % 50
    counts = np.bincount(ids, minlength=50)
    shares = counts[counts > 0] / counts.sum()
    assert language.unigram(ids, counts)[0] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=0.01)
