import keras
import numpy as np
import pytest

from karpa_tf import losses


def test_an_undecided_discriminator_costs_ln_2_per_term():
    zeros = np.zeros((3, 1), np.float32)
    for loss in (losses.real_loss, losses.fake_loss, losses.non_saturating_loss):
        np.testing.assert_allclose(loss(zeros), [np.log(2)] * 3, rtol=1e-6)


def test_losses_are_the_logarithms_of_the_paper():
    logits = np.linspace(-6, 6, 25, dtype=np.float32)[:, None]
    probability = 1 / (1 + np.exp(-logits[:, 0].astype(np.float64)))
    np.testing.assert_allclose(losses.real_loss(logits), -np.log(probability), rtol=1e-5)
    np.testing.assert_allclose(losses.fake_loss(logits), -np.log(1 - probability), rtol=1e-5)
    np.testing.assert_allclose(losses.non_saturating_loss(logits), -np.log(probability), rtol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_losses_are_finite_for_large_logits(logit):
    logits = np.array([[logit]], np.float32)
    for loss in (losses.real_loss, losses.fake_loss, losses.non_saturating_loss):
        assert np.isfinite(loss(logits)).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_that_of_keras_one_value_per_example(smoothing):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 4)).astype(np.float32) * 3
    targets = rng.dirichlet(np.ones(4), 6).astype(np.float32)
    expected = keras.losses.categorical_crossentropy(targets, logits, from_logits=True, label_smoothing=smoothing)
    found = losses.cross_entropy(targets, logits, smoothing)
    assert found.shape == (6,)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_non_saturating_losses_are_those_of_the_paper():
    logits = np.array([[2.0]], np.float32)
    expected = [np.log1p(np.exp(-2)), np.log1p(np.exp(-2)), np.log1p(np.exp(2))]
    values = [loss(logits)[0] for loss in losses.NON_SATURATING]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # generator, real, fake at the logits -2, 0.5 and 3
        ("HINGE", ([2, -0.5, -3], [3, 0.5, 0], [0, 1.5, 4])),
        ("LEAST_SQUARES", ([4.5, 0.125, 2], [4.5, 0.125, 2], [2, 0.125, 4.5])),
    ],
)
def test_the_other_gan_losses_are_their_closed_forms(name, expected):
    logits = np.array([[-2], [0.5], [3]], np.float32)
    np.testing.assert_allclose([loss(logits) for loss in getattr(losses, name)], expected, rtol=1e-6)


def test_smoothed_labels_are_the_cross_entropy_against_the_smaller_target_for_real_images_only():
    logits = np.linspace(-4, 4, 9, dtype=np.float32)[:, None]
    smoothed = losses.smooth_labels(0.1)
    target = np.full((9, 1), 0.9, np.float32)
    expected = keras.losses.binary_crossentropy(target, logits, from_logits=True)
    np.testing.assert_allclose(smoothed.real(logits), expected, rtol=1e-5)
    assert smoothed.real(np.full((1, 1), np.log(9), np.float32)) < smoothed.real(np.full((1, 1), 9, np.float32))
    assert (smoothed.fake, smoothed.generator) == (losses.fake_loss, losses.non_saturating_loss)
