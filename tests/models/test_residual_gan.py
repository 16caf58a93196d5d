import dataclasses

import numpy as np
import pytest

from karpa_tf.configs import residual_gan as configs
from karpa_tf.configs.gan import suggest_flags
from karpa_tf.configs.gan_presets import PRESETS
from karpa_tf.errors import UserError
from karpa_tf.models.gans import join_inputs, make_discriminator, make_generator

TINY = configs.TINY


def layer_types(model):
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("kind", ["WGAN_GP", "SNGAN", "SAGAN"])
def test_the_discriminator_takes_the_images_of_the_generator(kind, size, num_classes):
    config = getattr(configs, f"{kind}_{size}")
    narrow = {name: tuple(n // 16 for n in getattr(config, name)) for name in ("filters", "discriminator_filters")}
    config = dataclasses.replace(config, **narrow)
    assert config.image_size == size
    labels = np.zeros(2, np.int32)
    generator, discriminator = make_generator(config, num_classes), make_discriminator(config, num_classes)
    images = generator(join_inputs(generator, np.zeros((2, config.latent_dim), np.float32), labels)).numpy()
    assert images.shape == (2, size, size, 3)
    assert discriminator(join_inputs(discriminator, images, labels)).shape == (2, 1)


def test_the_networks_of_sngan_are_as_published():
    """Miyato et al. 2018, table 4: the number of parameters, counted by hand."""
    generator, discriminator = make_generator(configs.SNGAN_32), make_discriminator(configs.SNGAN_32)
    block = 2 * (9 * 256 * 256 + 256) + (256 * 256 + 256) + 4 * 256
    trained = sum(int(np.prod(weight.shape)) for weight in generator.trainable_weights)
    assert trained == 129 * 4 * 4 * 256 + 3 * block + 2 * 256 + 9 * 256 * 3 + 3
    convolution = 9 * 128 * 128 + 128
    first = 9 * 3 * 128 + 128 + convolution + 3 * 128 + 128
    second = 2 * convolution + 128 * 128 + 128
    trained = sum(int(np.prod(weight.shape)) for weight in discriminator.trainable_weights)
    assert trained == first + second + 2 * 2 * convolution + 128 + 1
    maps = [layer.output.shape[1] for layer in discriminator.layers if type(layer).__name__ == "AveragePooling2D"]
    assert maps == [16, 8]


@pytest.mark.parametrize(("spectral_norm", "networks"), [("none", 0), ("discriminator", 1), ("both", 2)])
def test_spectral_normalization_is_in_the_networks_that_the_flag_names(spectral_norm, networks):
    config = dataclasses.replace(TINY, spectral_norm=spectral_norm)
    models = make_discriminator(config, 3), make_generator(config, 3)
    for index, model in enumerate(models):
        kernels = [w for w in model.trainable_weights if w.path.endswith("kernel")]
        vectors = [w for w in model.non_trainable_weights if w.path.endswith("/vector")]
        embeddings = int(not index)  # the discriminator's is normalized too
        assert len(vectors) == (len(kernels) + embeddings if index < networks else 0)


def test_attention_is_at_the_feature_map_of_the_flag():
    for model in (make_generator(TINY), make_discriminator(TINY)):
        layers = [layer for layer in model.layers if type(layer).__name__ == "ImageAttention"]
        assert layers and all(layer.output.shape[1:3] == (8, 8) for layer in layers)
    assert "ImageAttention" not in layer_types(make_generator(dataclasses.replace(TINY, attention_size=0)))


def test_no_logit_depends_on_another_image():
    discriminator = make_discriminator(TINY)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 1)).astype(np.float32)
    for _ in range(100):
        together = discriminator(images, training=True).numpy()  # until spectral normalization stands still
    alone = np.concatenate([discriminator(images[i : i + 1], training=True).numpy() for i in range(4)])
    np.testing.assert_allclose(alone, together, rtol=1e-3, atol=1e-4)


def test_the_label_changes_images_and_logits():
    for make, inputs in ((make_generator, (1, 8)), (make_discriminator, (1, 16, 16, 1))):
        model = make(dataclasses.replace(TINY, spectral_norm="none"), 3)
        for weight in model.weights:
            if weight.path.endswith("/beta"):
                weight.assign(np.random.default_rng(0).normal(size=weight.shape))
        values = np.random.default_rng(0).normal(size=inputs).astype(np.float32)
        one, other = (model([values, np.array([label])]).numpy() for label in (0, 1))
        assert not np.allclose(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": ()}, "--filters needs one or more numbers"),
        (
            {"attention_size": 4},
            "--attention-size must be the size of a feature map of both networks, 8, or 0; received 4",
        ),
        ({"attention_size": 16}, "of both networks, 8, or 0; received 16"),
        ({"attention_size": -1}, "--attention-size must be at least 0"),
        ({"channels": 2}, "--channels must be 1 or 3"),
    ],
)
def test_an_invalid_config_is_refused_by_the_name_of_its_flag(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(TINY, **changes)


def test_suggested_flags_fit_residual_networks_too():
    _, base_size, _, *filters = suggest_flags(configs.SNGAN_64, 48).split()
    suggested = dataclasses.replace(configs.SNGAN_64, base_size=int(base_size), filters=tuple(map(int, filters)))
    assert suggested.image_size == 48


def test_every_variant_has_presets_for_32_and_64_pixels():
    for kind in ("wgan_gp", "sngan", "sagan", "projection"):
        assert PRESETS[kind].model.image_size == 32 and PRESETS[f"{kind}_64"].model.image_size == 64
        assert PRESETS[kind].conditional == (kind == "projection")
