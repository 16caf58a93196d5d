"""A GAN that trains in a second."""

import keras

from karpa_tf.configs.dcgan import DCGANConfig
from karpa_tf.data.images.batches import NoiseBatches
from karpa_tf.models.dcgan import make_discriminator, make_generator
from karpa_tf.training.trainers.gan import GAN

SMALL = {"latent_dim": 4, "channels": 1, "base_size": 4, "filters": (4, 4), "discriminator_filters": (4, 4)}
CONFIG = DCGANConfig(**SMALL, dropout=0.0)
FULL_CONFIG = DCGANConfig(**SMALL, dropout=0.3, discriminator_batch_norm=True, generator_negative_slope=0.0)


def make_networks_without_batch_norm():
    """Returns a generator and a discriminator without batch normalization and dropout."""
    layers = keras.layers
    noise = keras.Input((4,), name="noise")
    x = layers.LeakyReLU()(layers.Reshape((8, 8, 2))(layers.Dense(128)(noise)))
    generator = keras.Model(noise, layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="tanh")(x))
    return generator, make_discriminator(CONFIG)


def make_sgd_trainer(make_networks=make_networks_without_batch_norm, ema=0.9, seed=3, learning_rate=0.1):
    keras.utils.set_random_seed(seed)
    trainer = GAN(*make_networks(), ema=ema)
    trainer.compile(keras.optimizers.SGD(learning_rate), keras.optimizers.SGD(learning_rate))
    return trainer


def make_dcgan_trainer(ema=0.9, seed=3, config=CONFIG):
    keras.utils.set_random_seed(seed)
    trainer = GAN(make_generator(config), make_discriminator(config), ema=ema)
    trainer.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    return trainer


def fit(trainer, images, epochs=2, batch_size=8, first_step=0, **kwargs):
    steps = len(images) // batch_size
    batches = NoiseBatches(images, batch_size, 4).make(seed=1, first_step=first_step)
    arguments = {"verbose": 0, "shuffle": False} | kwargs
    return trainer.fit(batches, epochs=epochs, steps_per_epoch=steps, **arguments).history


def get_weights(trainer):
    return [weight.numpy() for weight in trainer.weights]
