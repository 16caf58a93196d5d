import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.layers.differentiable_augmentation import (
    UNIFORMS,
    AdaptiveAugmentation,
    DifferentiableAugmentation,
)

IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)


def augment(color=(0.5, 0.5, 0.5), shifts=(0.5, 0.5), cut=(0.5, 0.5), gates=(0.0, 0.0, 0.0)):
    """Returns IMAGES, augmented with the same numbers; gates of 1 leave a kind out."""
    uniform = np.tile(np.array([*color, *shifts, *cut, *gates], np.float32), (3, 1))
    layer = AdaptiveAugmentation()
    layer.p.assign(0.5)
    return layer(tf.constant(IMAGES), tf.constant(uniform)).numpy()


def test_translation_shifts_by_whole_pixels_and_fills_with_gray():
    moved = augment(shifts=(0.99, 0.0), gates=(1.0, 0.0, 1.0))
    expected = np.zeros_like(IMAGES)
    expected[:, :-2, 2:] = IMAGES[:, 2:, :-2]  # an eighth of 16 pixels
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(augment(shifts=(0.5, 0.5), gates=(1.0, 0.0, 1.0)), IMAGES)


def test_cutout_is_a_gray_square_of_half_the_size():
    cut = augment(cut=(0.5, 0.0), gates=(1.0, 1.0, 0.0))
    expected = IMAGES.copy()
    expected[:, 4:12, :4] = 0  # around the middle row and the first column
    np.testing.assert_array_equal(cut, expected)


def test_color_changes_brightness_saturation_and_contrast():
    np.testing.assert_allclose(augment(gates=(0.0, 1.0, 1.0)), IMAGES, atol=1e-6)
    brighter = augment(color=(0.9, 0.5, 0.5), gates=(0.0, 1.0, 1.0))
    np.testing.assert_allclose(brighter, IMAGES + 0.4, atol=1e-6)
    gray = augment(color=(0.5, 0.0, 0.5), gates=(0.0, 1.0, 1.0))
    np.testing.assert_allclose(gray, np.broadcast_to(IMAGES.mean(-1, keepdims=True), IMAGES.shape), atol=1e-6)
    flat = augment(color=(0.5, 0.5, 0.0), gates=(0.0, 1.0, 1.0))
    mean = IMAGES.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(flat, mean + (IMAGES - mean) / 2, atol=1e-6)


def test_every_image_has_random_numbers_of_its_own():
    uniform = np.random.default_rng(1).uniform(size=(3, UNIFORMS)).astype(np.float32)
    together = DifferentiableAugmentation()(tf.constant(IMAGES), tf.constant(uniform)).numpy()
    for index in range(3):
        rows = slice(index, index + 1)
        alone = DifferentiableAugmentation()(tf.constant(IMAGES[rows]), tf.constant(uniform[rows]))
        np.testing.assert_allclose(together[rows], alone, atol=1e-6)


def test_the_generator_gets_the_gradient_of_what_is_not_cut():
    images = tf.constant(IMAGES)
    uniform = tf.constant(np.random.default_rng(1).uniform(size=(3, UNIFORMS)).astype(np.float32))
    weights = tf.random.stateless_normal(IMAGES.shape, (0, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        value = tf.reduce_sum(DifferentiableAugmentation()(images, uniform) * weights)
    gradient = tape.gradient(value, images).numpy()
    direction = np.random.default_rng(2).normal(size=IMAGES.shape).astype(np.float32)

    def at(step):
        return float(tf.reduce_sum(DifferentiableAugmentation()(images + step * direction, uniform) * weights))

    # Linear in the images: the difference quotient is exact but for rounding.
    assert (at(1.0) - at(-1.0)) / 2 == pytest.approx(float((gradient * direction).sum()), rel=1e-3)
    assert (gradient != 0).any()


def test_the_adaptive_probability_follows_the_signs_of_the_logits_of_real_images():
    layer = AdaptiveAugmentation(images_to_one=1000)
    layer.adapt(8.0, 10.0)  # mean sign 0.8, above 0.6
    assert float(layer.p) == pytest.approx(10 / 1000)
    for _ in range(6):
        layer.adapt(0.0, 2.0)
    assert float(layer.p) == 0.0  # down by 2 / 1000 each, and no further
    layer.p.assign(0.011)
    layer.adapt(0.0, 2.0)
    assert float(layer.p) == pytest.approx(0.009)


def test_with_probability_0_images_are_unchanged():
    uniform = np.random.default_rng(1).uniform(size=(3, UNIFORMS)).astype(np.float32)
    np.testing.assert_array_equal(AdaptiveAugmentation()(tf.constant(IMAGES), tf.constant(uniform)), IMAGES)
