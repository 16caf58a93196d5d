"""Metrics of retrieval, by counting."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from karpa_tf.metrics.retrieval import compute_ranks, fit_factors, summarize


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


def test_scores_that_know_nothing_get_no_weight_and_the_others_those_of_logistic_regression():
    rng = np.random.default_rng(0)
    answers, noise = rng.integers(0, 2, 4000), rng.normal(size=(4000, 2))
    is_answer = answers[:, None] == np.arange(2)
    known = 0.7 * is_answer + rng.normal(size=(4000, 2))
    first, second = fit_factors(known, noise, is_answer)
    # Between two texts the softmax is logistic regression on the difference of their scores.
    model = LogisticRegression(C=1e6, fit_intercept=False).fit(
        np.stack([known, noise], -1) @ [1, 0] @ [[-1], [1]], answers
    )
    assert first == pytest.approx(model.coef_[0, 0], rel=0.02) and second < 0.05 < 0.3 < first


def test_a_search_that_finds_nothing_or_the_wrong_texts_still_has_a_sane_factor():
    is_answer, rng = np.eye(6, dtype=bool), np.random.default_rng(0)
    similarity = is_answer + 0.5 * rng.normal(size=(6, 6))
    one, other = fit_factors(similarity, np.zeros((6, 6)), is_answer)
    assert one > 0.5 and other == 1  # all scores are 0, and none is preferred
    wrong = fit_factors(-similarity, 10 * ~is_answer, is_answer)
    assert wrong == pytest.approx((0.1 / np.abs(similarity).max(), 0.01))


def test_the_factors_of_queries_that_are_all_answered_are_bounded():
    scores = np.eye(5)
    factors = fit_factors(0.5 * scores, 0 * scores, scores > 0)
    assert 10 < factors[0] <= 200 and np.isfinite(factors).all()
