"""Metrics of retrieval, by counting."""

import numpy as np
import pytest

from karpa_tf.metrics.retrieval import compute_ranks, fuse_ranks, summarize


def test_ranks_count_the_better_texts_and_those_that_are_as_good():
    scores = np.array([[0.1, 0.9, 0.5], [0.5, 0.5, 0.5], [-np.inf, 0.2, 0.1], [0.3, 0.2, 0.1]])
    is_answer = np.array([[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 1]], bool)
    assert compute_ranks(scores, is_answer).tolist() == [2, 3, np.inf, 2]


def test_recall_and_reciprocal_ranks_are_means_over_queries():
    figures = summarize(np.array([1, 2, 10, 11, np.inf]))
    assert figures == {
        "recall_at_1": 0.2,
        "recall_at_5": 0.4,
        "recall_at_10": 0.6,
        "mrr": pytest.approx(0.33818, rel=1e-4),
    }


def test_ranks_are_fused_by_the_sum_of_their_reciprocals():
    one, two = np.array([[0.9, 0.1, 0.5, -np.inf]]), np.array([[2.0, 3.0, -np.inf, -np.inf]])
    expected = [1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62, -np.inf]
    np.testing.assert_allclose(fuse_ranks(one, two)[0], expected)
