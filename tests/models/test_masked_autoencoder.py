"""Masked autoencoders: patches and back, and the same network by two paths."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_models import randomize
from tiny_masked_images import CONFIG

from karpa_tf.models.masked_autoencoder import make_masked_autoencoder, make_reconstructor
from karpa_tf.models.patches import compute_moments, join_patches, replace_patches, split_patches
from karpa_tf.models.vit import make_vit, make_vit_encoder
from karpa_tf.training.weights import copy_weights

SHAPE = (8, 8, 3)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (3, *SHAPE)).astype(np.float32)
ORDER = np.stack([RNG.permutation(16) for _ in range(3)]).astype(np.int32)
MASKED, VISIBLE = ORDER[:, :12], ORDER[:, 12:]


@pytest.fixture
def autoencoder():
    return randomize(make_masked_autoencoder(CONFIG.model, CONFIG.decoder, SHAPE, 12))


def test_patches_are_in_rows_from_the_top_left_and_can_be_joined():
    images = RNG.integers(0, 256, (2, 4, 6, 3), np.uint8)
    patches = split_patches(tf.constant(images), 2).numpy()
    assert patches.shape == (2, 6, 12)
    np.testing.assert_array_equal(patches[1, 4].reshape(2, 2, 3), images[1, 2:4, 2:4])
    np.testing.assert_array_equal(join_patches(patches, (4, 6, 3), 2), images)


def test_some_patches_are_replaced():
    patches = np.zeros((2, 4, 1), np.float32)
    replaced = replace_patches(patches, np.array([[3, 0], [1, 2]], np.int32), np.array([[[1], [2]], [[3], [4]]], "f"))
    np.testing.assert_array_equal(replaced[..., 0], [[2, 0, 0, 1], [0, 3, 4, 0]])


def test_moments_are_those_of_each_patch_and_a_patch_of_one_color_can_be_divided_by_them():
    patches = np.concatenate([RNG.normal(3, 2, (1, 2, 12)), np.full((1, 2, 12), 0.5)]).astype(np.float32)
    mean, stddev = compute_moments(patches)
    np.testing.assert_allclose(mean[..., 0], patches.mean(-1), rtol=1e-5)
    np.testing.assert_allclose(stddev[0, :, 0], patches[0].std(-1), rtol=1e-4)
    np.testing.assert_allclose(stddev[1], 1e-3, rtol=1e-4)


def test_what_is_masked_is_not_seen_and_what_is_visible_is(autoencoder):
    def draw(images):
        return autoencoder({"images": images, "visible": VISIBLE, "masked": MASKED}).numpy()

    def noisy(positions):
        patches = split_patches(IMAGES, 2)
        noise = RNG.normal(size=(3, positions.shape[1], 12)).astype(np.float32)
        return join_patches(replace_patches(patches, positions, noise), SHAPE, 2).numpy()

    np.testing.assert_array_equal(draw(noisy(MASKED)), draw(IMAGES))
    changed = np.abs(draw(noisy(VISIBLE[:, :1])) - draw(IMAGES)).max(-1)
    assert changed.min() > 1e-4


def test_the_order_of_patches_is_that_of_what_is_drawn(autoencoder):
    drawn = autoencoder({"images": IMAGES, "visible": VISIBLE, "masked": MASKED}).numpy()
    other = autoencoder({"images": IMAGES, "visible": VISIBLE[:, ::-1], "masked": MASKED[:, ::-1]}).numpy()
    np.testing.assert_allclose(other[:, ::-1], drawn, atol=1e-5)


def test_the_reconstructor_draws_the_same_by_attention_that_skips_masked_patches(autoencoder):
    reconstructor = make_reconstructor(CONFIG.model, CONFIG.decoder, SHAPE)
    assert copy_weights(reconstructor, autoencoder) == []
    mask = np.zeros((3, 16), bool)
    np.put_along_axis(mask, MASKED, True, axis=1)
    expected = autoencoder({"images": IMAGES, "visible": VISIBLE, "masked": MASKED}).numpy()
    drawn = reconstructor({"images": IMAGES, "mask": mask}).numpy()
    np.testing.assert_allclose(np.take_along_axis(drawn, MASKED[..., None], 1), expected, atol=1e-4)


def test_the_encoder_is_that_of_a_classifier(autoencoder):
    classifier, encoder = make_vit(CONFIG.model, SHAPE, 5), make_vit_encoder(CONFIG.model, SHAPE)
    assert copy_weights(encoder, autoencoder) == []
    assert copy_weights(classifier, autoencoder) == ["logits"]
    pooled = keras.Model(classifier.input, classifier.get_layer("pooled").output)
    np.testing.assert_allclose(encoder(IMAGES), pooled(IMAGES), atol=1e-6)
