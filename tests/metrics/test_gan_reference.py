"""Precision, recall, density and coverage against prdc, the implementation of Naeem et al. (2020)."""

import numpy as np
import pytest

from karpa_tf.metrics import gan

prdc = pytest.importorskip("prdc", reason="prdc is not installed: make test-reference")

RANDOM = np.random.default_rng(0)
REAL, FAKE = RANDOM.normal(0, 1, (500, 16)), RANDOM.normal(0.3, 1.2, (400, 16))


@pytest.mark.parametrize("neighbors", [3, 5])
def test_precision_recall_density_and_coverage_are_those_of_prdc(neighbors):
    expected = prdc.compute_prdc(REAL, FAKE, nearest_k=neighbors)
    precision, recall = gan.precision_and_recall(REAL, FAKE, neighbors)
    density, coverage = gan.density_and_coverage(REAL, FAKE, neighbors)
    found = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
    assert found == pytest.approx(expected, abs=1e-9)
