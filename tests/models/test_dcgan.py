import dataclasses

import keras
import numpy as np
import pytest

from karpa_tf.configs import gan as configs
from karpa_tf.errors import UserError
from karpa_tf.models.dcgan import make_discriminator, make_generator

NAMED = {name: getattr(configs, name) for name in ("TINY", "DIGITS", "TUTORIAL_28", "TUTORIAL_32", "TUTORIAL_64")}


@pytest.mark.parametrize("config", [*NAMED.values(), dataclasses.replace(configs.PAPER_64, filters=(8, 8, 4, 4))])
def test_the_generator_draws_what_the_discriminator_judges(config):
    images = make_generator(config)(np.zeros((2, config.latent_dim), np.float32))
    assert images.shape == (2, config.image_size, config.image_size, config.channels)
    assert make_discriminator(config)(images).shape == (2, 1)


@pytest.mark.parametrize(
    ("base_size", "stages", "image_size"), [(1, 1, 2), (3, 2, 12), (7, 2, 28), (4, 4, 64), (5, 3, 40)]
)
def test_any_side_that_doubles_a_base_can_be_made(base, stages, side):
    config = configs.DCGANConfig(base_size=base, filters=(2,) * stages, discriminator_filters=(2,), latent_dim=3)
    assert config.image_size == side
    assert make_generator(config).output_shape == (None, side, side, 3)
    assert make_discriminator(config).output_shape == (None, 1)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_tutorial_network_is_the_one_described():
    generator, discriminator = make_generator(configs.TUTORIAL_64), make_discriminator(configs.TUTORIAL_64)
    maps = [
        layer.output.shape[1:] for layer in generator.layers if type(layer).__name__ in ("Reshape", "Conv2DTranspose")
    ]
    assert maps == [(8, 8, 128), (16, 16, 128), (32, 32, 64), (64, 64, 3)]
    assert kinds(generator).count("BatchNormalization") == 3
    assert generator.layers[-1].activation.__name__ == "tanh"
    stages = ["Conv2D", "LeakyReLU", "Dropout"]
    assert kinds(discriminator) == ["InputLayer", *stages, *stages, "Flatten", "Dense"]
    assert [layer.rate for layer in discriminator.layers if "Dropout" in type(layer).__name__] == [0.3, 0.3]
    # 5 x 5 x 3 x 64 + 64, then 5 x 5 x 64 x 128 + 128, then 16 x 16 x 128 + 1
    assert discriminator.count_params() == 4864 + 204928 + 32769


def test_the_paper_network_has_the_published_shape():
    config = configs.PAPER_64
    generator, discriminator = make_generator(config), make_discriminator(config)
    maps = [
        layer.output.shape[1:] for layer in generator.layers if type(layer).__name__ in ("Reshape", "Conv2DTranspose")
    ]
    assert maps == [(4, 4, 512), (8, 8, 256), (16, 16, 128), (32, 32, 64), (64, 64, 3)]
    assert kinds(generator).count("ReLU") == 4 and "LeakyReLU" not in kinds(generator)
    assert kinds(discriminator).count("BatchNormalization") == 3 and "Dropout" not in kinds(discriminator)
    kernels = [weight.numpy() for weight in generator.trainable_weights if "kernel" in weight.path]
    assert all(abs(kernel.std() - 0.02) < 0.001 and abs(kernel.mean()) < 0.001 for kernel in kernels)
    assert (config.latent_dim, config.discriminator_negative_slope) == (100, 0.2)


def test_no_two_layers_start_with_the_same_weights():
    config = dataclasses.replace(configs.DCGANConfig(filters=(8, 8, 8), discriminator_filters=(8, 8)), init_stddev=0.02)
    kernels = [w.numpy() for w in make_generator(config).trainable_weights if "kernel" in w.path]
    same_shape = [(a, b) for i, a in enumerate(kernels) for b in kernels[:i] if a.shape == b.shape]
    assert same_shape and not any(np.array_equal(a, b) for a, b in same_shape)


def test_images_and_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert make_generator(configs.TINY).output.dtype == "float32"
    assert make_discriminator(configs.TINY).output.dtype == "float32"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"channels": 2}, "--channels"),
        ({"base_size": 0}, "--base-size"),
        ({"latent_dim": -1}, "--latent-dim"),
        ({"filters": ()}, "--filters"),
        ({"filters": (8, 0)}, "--filters"),
        ({"discriminator_filters": ()}, "--discriminator-filters"),
        ({"dropout": 1.0}, "--dropout"),
        ({"init_stddev": -0.1}, "--init-stddev"),
    ],
)
def test_an_impossible_shape_is_refused_by_the_name_of_its_flag(change, named):
    with pytest.raises(UserError, match=named):
        configs.DCGANConfig(**change)


@pytest.mark.parametrize(("image_size", "fits"), [(28, 28), (32, 32), (8, 8), (50, 48), (37, 36), (3, 2)])
def test_the_flags_that_are_advised_make_the_largest_side_that_fits(side, fits):
    words = configs.suggest_flags(configs.TUTORIAL_64, side).split()
    base, filters = int(words[1]), [int(word) for word in words[3:]]
    assert configs.DCGANConfig(base_size=base, filters=tuple(filters)).side == fits
