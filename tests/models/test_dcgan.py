import dataclasses

import keras
import numpy as np
import pytest

from karpa_tf.configs import dcgan as configs
from karpa_tf.configs.gan import suggest_flags
from karpa_tf.errors import UserError
from karpa_tf.models.dcgan import make_discriminator, make_generator

CONFIGS = [getattr(configs, name) for name in ("TINY", "DIGITS", "TUTORIAL_28", "TUTORIAL_32", "TUTORIAL_64")]


@pytest.mark.parametrize("config", [*CONFIGS, dataclasses.replace(configs.PAPER_64, filters=(8, 8, 4, 4))])
def test_the_discriminator_takes_the_images_of_the_generator(config):
    images = make_generator(config)(np.zeros((2, config.latent_dim), np.float32))
    assert images.shape == (2, config.image_size, config.image_size, config.channels)
    assert make_discriminator(config)(images).shape == (2, 1)


@pytest.mark.parametrize(
    ("base_size", "stages", "image_size"), [(1, 1, 2), (3, 2, 12), (7, 2, 28), (4, 4, 64), (5, 3, 40)]
)
def test_the_image_size_is_the_base_size_doubled_per_stage(base_size, stages, image_size):
    config = configs.DCGANConfig(base_size=base_size, filters=(2,) * stages, discriminator_filters=(2,), latent_dim=3)
    assert config.image_size == image_size
    assert make_generator(config).output_shape == (None, image_size, image_size, 3)
    assert make_discriminator(config).output_shape == (None, 1)


def layer_types(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_tutorial_networks_are_as_described():
    generator, discriminator = make_generator(configs.TUTORIAL_64), make_discriminator(configs.TUTORIAL_64)
    maps = [
        layer.output.shape[1:] for layer in generator.layers if type(layer).__name__ in ("Reshape", "Conv2DTranspose")
    ]
    assert maps == [(8, 8, 128), (16, 16, 128), (32, 32, 64), (64, 64, 3)]
    assert layer_types(generator).count("BatchNormalization") == 3
    assert generator.layers[-1].activation.__name__ == "tanh"
    stages = ["Conv2D", "LeakyReLU", "Dropout"]
    assert layer_types(discriminator) == ["InputLayer", *stages, *stages, "Flatten", "Dense"]
    assert [layer.rate for layer in discriminator.layers if "Dropout" in type(layer).__name__] == [0.3, 0.3]
    # 5 x 5 x 3 x 64 + 64, then 5 x 5 x 64 x 128 + 128, then 16 x 16 x 128 + 1
    assert discriminator.count_params() == 4864 + 204928 + 32769


def test_the_networks_of_the_paper_are_as_published():
    config = configs.PAPER_64
    generator, discriminator = make_generator(config), make_discriminator(config)
    maps = [
        layer.output.shape[1:] for layer in generator.layers if type(layer).__name__ in ("Reshape", "Conv2DTranspose")
    ]
    assert maps == [(4, 4, 512), (8, 8, 256), (16, 16, 128), (32, 32, 64), (64, 64, 3)]
    assert layer_types(generator).count("ReLU") == 4 and "LeakyReLU" not in layer_types(generator)
    assert layer_types(discriminator).count("BatchNormalization") == 3 and "Dropout" not in layer_types(discriminator)
    kernels = [weight.numpy() for weight in generator.trainable_weights if "kernel" in weight.path]
    assert all(abs(kernel.std() - 0.02) < 0.001 and abs(kernel.mean()) < 0.001 for kernel in kernels)
    assert (config.latent_dim, config.discriminator_negative_slope) == (100, 0.2)


def test_no_two_layers_have_the_same_initial_weights():
    config = dataclasses.replace(configs.DCGANConfig(filters=(8, 8, 8), discriminator_filters=(8, 8)), init_stddev=0.02)
    kernels = [w.numpy() for w in make_generator(config).trainable_weights if "kernel" in w.path]
    same_shape = [(a, b) for i, a in enumerate(kernels) for b in kernels[:i] if a.shape == b.shape]
    assert same_shape and not any(np.array_equal(a, b) for a, b in same_shape)


def test_images_and_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert make_generator(configs.TINY).output.dtype == "float32"
    assert make_discriminator(configs.TINY).output.dtype == "float32"


@pytest.mark.parametrize(
    ("changes", "flag"),
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
def test_an_invalid_config_is_refused_by_the_name_of_its_flag(changes, flag):
    with pytest.raises(UserError, match=flag):
        configs.DCGANConfig(**changes)


@pytest.mark.parametrize(("image_size", "expected"), [(28, 28), (32, 32), (8, 8), (50, 48), (37, 36), (3, 2)])
def test_suggested_flags_give_the_largest_image_size_that_fits(image_size, expected):
    _, base_size, _, *filters = suggest_flags(configs.TUTORIAL_64, image_size).split()
    assert configs.DCGANConfig(base_size=int(base_size), filters=tuple(map(int, filters))).image_size == expected
