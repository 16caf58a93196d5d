"""Variants of GANs that train in seconds, by the flags of the training program."""

import keras
import numpy as np
from tiny_gan import CONFIG

from karpa_tf.configs.gan import DCGAN, ResidualGAN
from karpa_tf.configs.residual_gan import ResidualGANConfig
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.tasks import gan

SMALL = {"latent_dim": 4, "channels": 1, "base_size": 8, "filters": (4,), "discriminator_filters": (4,)}
PLAIN = ResidualGANConfig(**SMALL, spectral_norm="none")
SPECTRAL = ResidualGANConfig(**SMALL, spectral_norm="discriminator")
ATTENTION = ResidualGANConfig(
    latent_dim=4, channels=1, filters=(4, 4), discriminator_filters=(4, 6), spectral_norm="both", attention_size=8
)
SHARED = {"batch_size": 8, "ema": 0.9, "sync_batch_norm": True, "beta_1": 0.0}

VARIANTS = {
    "wgan_gp": ResidualGAN(model=PLAIN, loss="wasserstein", critic_steps=2, penalty="gradient", **SHARED),
    "r1": DCGAN(model=CONFIG, critic_steps=1, penalty="r1", penalty_every=3, **SHARED),
    "sagan": ResidualGAN(model=ATTENTION, loss="hinge", critic_steps=1, **SHARED),
    "projection": ResidualGAN(model=SPECTRAL, loss="hinge", critic_steps=1, conditional=True, **SHARED),
    "conditional_dcgan": DCGAN(model=CONFIG, conditional=True, **SHARED),
    "diffaugment": DCGAN(model=CONFIG, augment="diffaugment", **SHARED),
    "ada": DCGAN(model=CONFIG, augment="ada", critic_steps=1, **SHARED),
}
"""Configs by name: each part of every variant is in one of them."""

NUM_CLASSES = 3


def make_trainer(name, optimizer=None, seed=3):
    """Returns the compiled trainer of a variant; with its own optimizers, or with what a function returns."""
    config = VARIANTS[name]
    keras.utils.set_random_seed(seed)
    trainer = gan.make_trainer(config, NUM_CLASSES if config.conditional else 0, steps=10)
    if optimizer:
        trainer.compile(optimizer(), optimizer(), trainer.gan_losses)
    return trainer


def make_batches(name, images):
    """Returns the `NoiseBatches` of a variant for uint8 images; labels are their indices, modulo `NUM_CLASSES`."""
    config = VARIANTS[name]
    labels = np.arange(len(images), dtype=np.int32) % NUM_CLASSES if config.conditional else None
    return gan.make_batches(config, ImageSet("images", images, "", labels=labels))


def fit(trainer, name, images, epochs=2):
    """Trains, and returns the history."""
    steps = len(images) // VARIANTS[name].images_per_step
    batches = make_batches(name, images).make(seed=1)
    return trainer.fit(batches, epochs=epochs, steps_per_epoch=steps, verbose=0, shuffle=False).history
