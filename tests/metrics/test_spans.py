"""Precision, recall and F1 of spans, by hand."""

import numpy as np
import pytest

from karpa_tf.metrics.intervals import bootstrap_difference
from karpa_tf.metrics.spans import compute_f1, count_spans, summarize_spans

TRUE = [[(0, 2, "A"), (3, 5, "B")], [], [(1, 4, "A")]]
PREDICTED = [[(0, 2, "A"), (3, 5, "A")], [(0, 1, "B")], []]


def test_a_span_counts_if_its_ends_and_its_type_are_right():
    np.testing.assert_array_equal(count_spans(TRUE, PREDICTED), [[1, 2, 2], [0, 1, 0], [0, 0, 1]])
    summary = summarize_spans(TRUE, PREDICTED, ("A", "B"))
    assert [summary[name] for name in ("precision", "recall", "f1")] == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert summary["classes"]["A"] == pytest.approx({"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "count": 2})
    assert summary["classes"]["B"] == {"precision": 0, "recall": 0, "f1": 0, "count": 1}
    assert summary["macro_f1"] == pytest.approx(1 / 4)


def test_without_spans_everything_is_0():
    assert compute_f1((0, 0, 0)) == (0.0, 0.0, 0.0) and count_spans([], []).shape == (0, 3)


def test_the_interval_of_a_difference_covers_what_it_should():
    rng = np.random.default_rng(1)
    metric = lambda counts: counts[0] / counts[1]  # noqa: E731
    covered = 0
    for _ in range(60):
        ours, theirs = rng.random(200) < 0.7, rng.random(200) < 0.6
        counts = [np.stack([right, np.ones(200)], axis=1) for right in (ours, theirs)]
        low, high = bootstrap_difference(metric, *counts, resamples=200)
        covered += low <= 0.1 <= high
    assert covered > 51  # binomial (60, 0.95): 51 or fewer have a probability below 0.01


def test_a_model_does_not_differ_from_itself():
    counts = np.array([[1, 2, 3], [0, 1, 1]])
    assert bootstrap_difference(lambda total: compute_f1(total)[2], counts, counts) == (0.0, 0.0)
