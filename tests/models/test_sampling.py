import numpy as np
import tensorflow as tf

from karpa_tf.models.sampling import interpolate, interpolate_seeds, noise_from_seeds, to_pixels, truncate


def test_the_noise_of_seeds_is_normal_and_independent():
    noise = noise_from_seeds(tf.range(1000, dtype=tf.int64), 64).numpy()
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size) and abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    correlation = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(noise.size)


def test_pixels_are_rounded_and_clipped():
    assert to_pixels(tf.constant([-9.0, -1.0, 0.0, 0.999, 1.0, 9.0])).numpy().tolist() == [0, 0, 128, 255, 255, 255]


def test_spherical_interpolation_keeps_the_norm_and_the_ends():
    start, end = tf.constant([3.0, 0.0, 0.0]), tf.constant([0.0, 3.0, 0.0])
    vectors = interpolate(start, end, 5).numpy()
    np.testing.assert_allclose(vectors[[0, -1]], [start, end], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 3, rtol=1e-6)
    np.testing.assert_allclose(vectors[2], [3 / np.sqrt(2), 3 / np.sqrt(2), 0], rtol=1e-6)


def test_a_walk_leads_through_the_noise_of_all_seeds_and_closes():
    points = noise_from_seeds(tf.range(5, 9, dtype=tf.int64), 6).numpy()
    walk = interpolate_seeds(5, 6, 20, seeds=4).numpy()
    assert walk.shape == (20, 6)
    np.testing.assert_allclose(walk[::5], points, atol=1e-5)
    steps = np.linalg.norm(walk - np.roll(walk, -1, axis=0), axis=1)  # from the last to the first, too
    assert steps.max() < np.linalg.norm(points, axis=1).max()
    assert interpolate_seeds(5, 6, 11, seeds=4).shape == (11, 6)
    np.testing.assert_allclose(interpolate_seeds(5, 6, 3).numpy()[[0, -1]], points[:2], atol=1e-5)


def test_cut_noise_has_the_truncated_normal_distribution_and_the_order_of_the_noise():
    noise = noise_from_seeds(tf.range(500, dtype=tf.int64), 32)
    cut = truncate(noise, 0.5).numpy()
    assert np.abs(cut).max() <= 0.5
    ordered = cut.ravel()[np.argsort(noise.numpy().ravel())]
    assert (np.diff(ordered) >= 0).all()
    # The variance of a normal distribution cut at 0.5: 1 - 0.5 * 2 pdf(0.5) / (2 cdf(0.5) - 1).
    expected = 1 - 2 * 0.5 * 0.3520653 / (2 * 0.6914625 - 1)
    assert abs(cut.var() - expected) < 0.02 * expected
    np.testing.assert_allclose(truncate(noise, 12.0), noise, atol=1e-4)
