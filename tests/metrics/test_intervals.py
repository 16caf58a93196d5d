"""Intervals of the difference between two accuracies, against scipy, a published example, and their own promise."""

import numpy as np
import pytest
from scipy import stats

from karpa_tf.metrics import intervals


@pytest.mark.parametrize(("n", "seed"), [(5, 0), (200, 1), (2000, 2)])
def test_the_paired_interval_is_that_of_the_mean_of_the_differences_with_one_more_of_each_sign(n, seed):
    is_correct, is_other_correct = np.random.default_rng(seed).random((2, n)) < [[0.8], [0.7]]
    differences = np.array([*(is_correct.astype(int) - is_other_correct), 1, -1])
    expected = stats.norm.interval(0.95, differences.mean(), differences.std() / np.sqrt(n + 2))
    assert intervals.paired_difference(is_correct, is_other_correct) == pytest.approx(expected, abs=1e-6)


def test_the_paired_interval_holds_the_true_difference_in_95_percent_of_the_draws():
    n, wins, losses = 100, 0.15, 0.05
    rng = np.random.default_rng(0)
    outcomes = rng.choice([0, 1, 2, 3], (2000, n), p=[wins, losses, 0.7, 0.1])
    found = np.array(
        [intervals.paired_difference((row == 0) | (row == 2), (row == 1) | (row == 2)) for row in outcomes]
    )
    assert np.mean((found[:, 0] <= wins - losses) & (wins - losses <= found[:, 1])) == pytest.approx(0.95, abs=0.015)


def test_examples_on_which_both_agree_only_dilute_the_paired_interval():
    alone = np.array([True] * 30 + [False] * 10)
    low, high = intervals.paired_difference(alone, ~alone)
    both = np.array([True] * 1000)
    diluted = intervals.paired_difference(np.r_[alone, both], np.r_[~alone, both])
    assert 0 < diluted[0] < low and diluted[1] < high


def test_a_classifier_that_is_always_right_is_better_than_one_that_never_is_if_there_are_enough_examples():
    few, many = (intervals.paired_difference(np.ones(n, bool), np.zeros(n, bool)) for n in (3, 30))
    assert few[0] < 0 < many[0] and few[1] == 1 and many[1] <= 1


def test_the_interval_from_counts_is_that_of_the_example_of_newcombe():
    assert intervals.difference(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_interval_from_counts_is_made_of_those_of_scipy():
    (low, high), (other_low, other_high) = (
        stats.binomtest(k, n).proportion_ci(0.95, "wilson") for k, n in ((9, 10), (300, 1000))
    )
    expected = 0.6 - np.hypot(0.9 - low, other_high - 0.3), 0.6 + np.hypot(high - 0.9, 0.3 - other_low)
    assert intervals.difference(9, 10, 300, 1000) == pytest.approx(expected, abs=1e-6)
