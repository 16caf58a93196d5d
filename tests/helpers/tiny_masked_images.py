"""A masked autoencoder that trains in a second."""

import dataclasses

import keras
import numpy as np

from karpa_tf.configs.masked_image import MaskedImageConfig
from karpa_tf.configs.masked_image_presets import PRESETS
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.tasks import masked_image

SMOKE = PRESETS["smoke"]
CONFIG = MaskedImageConfig(
    image_size=8,
    channels=3,
    batch_size=8,
    learning_rate=0.1,
    model=dataclasses.replace(SMOKE.model, patch_size=2),
    decoder=SMOKE.decoder,
    optimization=OptimizerConfig(optimizer="sgd", momentum=0.0),
)
"""16 patches, of which 12 are masked."""


def make_images(count=24):
    """Returns an `ImageSet` of random images, 8x8 in color."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return ImageSet("random", pixels, "0", labels=np.zeros(count, np.int32))


def make_trainer(config=CONFIG):
    """Returns the compiled trainer of a `MaskedImageConfig`, always with the same weights."""
    keras.utils.set_random_seed(0)
    return masked_image.make_trainer(config, 3)
