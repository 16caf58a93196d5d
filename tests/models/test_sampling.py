import numpy as np
import tensorflow as tf

from karpa_tf.models.sampling import interpolate, noise_from_seeds, to_pixels


def test_the_noise_of_seeds_is_normal_and_independent():
    noise = noise_from_seeds(tf.range(4000, dtype=tf.int64), 16).numpy()
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
