"""Metrics of predicted numbers, by hand."""

import math

import pytest

from karpa_tf.metrics.regression import summarize


def test_metrics_of_four_numbers():
    figures = summarize([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0])
    assert figures == pytest.approx({"pearson": 0.8, "spearman": 0.8, "r2": 0.6, "rmse": math.sqrt(0.5), "mae": 0.5})


def test_ranks_count_for_spearman_alone():
    figures = summarize([0, 1, 2, 3], [0, 1, 2, 300])
    assert figures["spearman"] == pytest.approx(1) and figures["pearson"] < 0.85


@pytest.mark.parametrize(("targets", "predictions"), [([1, 2], [3, 3]), ([1, 1], [2, 3]), ([1], [2])])
def test_nothing_correlates_with_something_constant(targets, predictions):
    figures = summarize(targets, predictions)
    assert figures["pearson"] == figures["spearman"] == 0 and all(map(math.isfinite, figures.values()))
