"""Figures of generated images, against closed forms and plain implementations of the papers' definitions."""

import itertools

import numpy as np
import pytest
from scipy import linalg

from karpa_tf.metrics import gan

RANDOM = np.random.default_rng(0)
REAL, FAKE = RANDOM.normal(0, 1, (60, 4)), RANDOM.normal(0.4, 1.3, (50, 4))


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch):
    monkeypatch.setattr(gan, "BLOCK", 16)


def distances(a, b):
    return np.array([[np.linalg.norm(x - y) for y in b] for x in a])


def test_the_frechet_distance_of_normal_distributions_is_that_of_the_closed_form():
    assert gan.frechet_distance_of_moments(np.zeros(3), np.eye(3), np.ones(3), np.eye(3)) == pytest.approx(3)
    # In one dimension: the squares of the difference of the means and of the standard deviations.
    one = gan.frechet_distance_of_moments(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[25.0]]))
    assert one == pytest.approx(4 + 9, abs=1e-4)
    a, b = RANDOM.normal(size=(2, 5, 5))
    a, b = a @ a.T, b @ b.T
    expected = np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert gan.frechet_distance_of_moments(np.zeros(5), a, np.zeros(5), b) == pytest.approx(expected, abs=1e-4)


def test_the_frechet_distance_of_samples_uses_their_moments_and_is_zero_of_a_set_to_itself():
    expected = np.sum((REAL.mean(0) - FAKE.mean(0)) ** 2)
    real, fake = np.cov(REAL.T), np.cov(FAKE.T)
    expected += np.trace(real + fake - 2 * linalg.sqrtm(real @ fake).real)
    assert gan.frechet_distance(REAL, FAKE) == pytest.approx(expected, abs=1e-6)
    assert gan.frechet_distance(REAL, REAL) < 1e-3
    narrow = RANDOM.normal(size=(5, 40))  # fewer images than features: the covariance is singular
    assert 0 <= gan.frechet_distance(narrow, narrow) < 1e-3


def test_the_kernel_distance_is_the_unbiased_estimate():
    def kernel(x, y):
        return (x @ y / 4 + 1) ** 3

    n, m = len(FAKE), len(FAKE)
    real = REAL[:n]
    expected = sum(kernel(real[i], real[j]) for i, j in itertools.permutations(range(n), 2)) / (n * (n - 1))
    expected += sum(kernel(FAKE[i], FAKE[j]) for i, j in itertools.permutations(range(m), 2)) / (m * (m - 1))
    expected -= 2 * np.mean([kernel(x, y) for x in real for y in FAKE])
    assert gan.squared_discrepancy(real, FAKE) == pytest.approx(expected, rel=1e-9)
    value, error = gan.kernel_distance(real, FAKE, subset_size=1000)  # more than there are
    assert abs(value - expected) < 6 * error and error > 0


def test_the_kernel_distance_of_two_samples_of_one_distribution_is_zero_within_its_error():
    one, other = RANDOM.normal(size=(2, 400, 4))
    value, error = gan.kernel_distance(one, other, subset_size=100, subsets=50)
    assert abs(value) < 6 * error
    assert gan.kernel_distance(one, other, 100, 50) == (value, error)  # the same subsets


def test_the_inception_score_is_one_for_equal_answers_and_the_number_of_classes_for_clear_ones():
    assert gan.inception_score(np.full((40, 4), 0.25)) == pytest.approx((1, 0))
    assert gan.inception_score(np.tile(np.eye(4), (10, 1))) == pytest.approx((4, 0))
    assert gan.inception_score(np.tile(np.eye(4)[:1], (40, 1)))[0] == pytest.approx(1)  # always the same class


@pytest.mark.parametrize("neighbors", [1, 3])
def test_precision_and_recall_follow_their_definition(neighbors):
    def fraction_within(points, manifold):
        radii = np.sort(distances(manifold, manifold), 1)[:, neighbors]
        return (distances(points, manifold) <= radii).any(1).mean()

    expected = fraction_within(FAKE, REAL), fraction_within(REAL, FAKE)
    assert gan.precision_and_recall(REAL, FAKE, neighbors) == pytest.approx(expected)
    assert 0 < expected[0] < 1


@pytest.mark.parametrize("neighbors", [1, 5])
def test_density_and_coverage_follow_their_definition(neighbors):
    radii = np.sort(distances(REAL, REAL), 1)[:, neighbors]
    within = distances(FAKE, REAL) < radii
    expected = within.sum() / (neighbors * len(FAKE)), within.any(0).mean()
    assert gan.density_and_coverage(REAL, FAKE, neighbors) == pytest.approx(expected)
    assert 0 < expected[1] < 1


def test_images_of_one_kind_only_are_precise_but_do_not_cover_the_real_ones():
    real = np.concatenate([RANDOM.normal(0, 0.1, (50, 2)), RANDOM.normal(9, 0.1, (50, 2))])
    fake = RANDOM.normal(0, 0.03, (100, 2))
    precision, recall = gan.precision_and_recall(real, fake)
    assert precision > 0.95 and recall < 0.5
    density, coverage = gan.density_and_coverage(real, fake)
    assert density > 1 and coverage <= 0.5


def test_nearest_neighbors_are_found_in_order():
    indices, found = gan.find_nearest(FAKE, REAL, 3)
    expected = distances(FAKE, REAL)
    np.testing.assert_array_equal(indices, np.argsort(expected, 1)[:, :3])
    np.testing.assert_allclose(found, np.sort(expected, 1)[:, :3])
    np.testing.assert_array_equal(gan.find_nearest(REAL, REAL)[0][:, 0], np.arange(len(REAL)))
