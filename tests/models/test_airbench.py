import keras
import numpy as np
import pytest

from karpa_tf.configs.airbench import AirbenchConfig
from karpa_tf.errors import UserError
from karpa_tf.models.airbench import Dirac, make_airbench, whiten
from karpa_tf.models.classifiers import initialize_from_images


@pytest.fixture
def photos():
    """uint8 (60, 16, 16, 3), with similar neighboring pixels, as in photographs."""
    noise = np.random.default_rng(0).normal(size=(60, 16, 16, 3))
    smooth = noise.cumsum(1) + noise.cumsum(2)
    return np.clip(smooth * 12 + 100, 0, 255).astype(np.uint8)


def test_the_published_network_has_about_two_million_weights():
    model = make_airbench(AirbenchConfig(), (32, 32, 3), 10)
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == convolutions + 2 * (64 + 512) + 2560
    assert [model.get_layer(name).output.shape[1:] for name in ("features", "pooled", "logits")] == [
        (3, 3, 256),
        (256,),
        (10,),
    ]


def test_whitening_makes_channels_uncorrelated_and_is_not_trained(photos):
    model = make_airbench(AirbenchConfig(filters=(4,)), (16, 16, 3), 5)
    whiten(model, photos)
    layer = model.get_layer("whitening")
    assert not layer.trainable_variables
    outputs = np.array(layer(photos.astype(np.float32) / 127.5 - 1)).reshape(-1, 24)
    np.testing.assert_allclose(outputs[:, 12:], -outputs[:, :12], atol=1e-4)
    covariance = np.cov(outputs[:, :12].T)
    variances = np.diag(covariance)
    assert np.abs(covariance - np.diag(variances)).max() < 1e-3
    # Of unit variance, except where epsilon dominates the eigenvalue.
    assert variances.max() < 1.001 and np.median(variances) > 0.9
    np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-3)


def test_whitening_uses_five_thousand_images_of_the_complete_data_set(photos):
    config = AirbenchConfig(filters=(4,))
    images = np.tile(photos, (167, 1, 1, 1))  # 10,020: every third is used
    initialized, expected = (make_airbench(config, (16, 16, 3), 5) for _ in range(2))
    initialize_from_images(initialized, config, images)
    whiten(expected, images[::3])
    weights = (model.get_layer("whitening").get_weights() for model in (initialized, expected))
    for weight, expected_weight in zip(*weights, strict=True):
        np.testing.assert_array_equal(weight, expected_weight)


def test_whitening_of_images_of_one_color_is_finite():
    model = make_airbench(AirbenchConfig(filters=(4,)), (16, 16, 3), 5)
    whiten(model, np.full((3, 16, 16, 3), 7, np.uint8))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("outputs", [3, 5, 9])
def test_a_convolution_is_initially_the_identity_on_its_input_channels(outputs):
    layer = keras.layers.Conv2D(outputs, 3, padding="same", use_bias=False, kernel_initializer=Dirac())
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 5)).astype(np.float32)
    count = min(outputs, 5)
    np.testing.assert_allclose(layer(images)[..., :count], images[..., :count], atol=1e-6)
    if outputs > 5:
        assert 0 < np.abs(layer.kernel.numpy()[..., 5:]).max() <= (5 * 9) ** -0.5


def test_initial_kernels_depend_on_the_seed():
    kernels = []
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        kernels.append(np.array(Dirac()((3, 3, 2, 4))))
    assert np.abs(kernels[0] - kernels[1]).max() > 0


def test_a_config_without_filters_is_refused():
    with pytest.raises(UserError, match="--filters needs one or more numbers"):
        AirbenchConfig(filters=())
