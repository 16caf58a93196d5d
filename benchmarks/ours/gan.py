"""karpa_tf's DCGAN, trained on uint8 images."""

import keras
import numpy as np

from benchmarks import shared_weights, synthetic
from benchmarks.keras_programs import configure_keras, gan_loss, make_fit_program
from karpa_tf.data.images.batches import NoiseBatches
from karpa_tf.data.images.decoding import normalize
from karpa_tf.models.dcgan import make_discriminator, make_generator
from karpa_tf.training.trainers.gan import GAN


def make_program(folder, precision, config, batch_size):
    """Returns the `Program` of steps with one pass of the generator and Adam, on `NoiseBatches`.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16".
        config: a `DCGANConfig`.
        batch_size: images per step.
    """
    configure_keras(precision)
    trainer = GAN(make_generator(config), make_discriminator(config), ema=0)
    trainer.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5), jit_compile=False)
    images = synthetic.make_images(config.image_size, config.channels)
    noise = np.random.default_rng(1).normal(size=(batch_size, config.latent_dim)).astype(np.float32)
    batch = {"images": np.asarray(normalize(images[:batch_size])), "noise": noise}
    variables = shared_weights.name_variables(trainer.generator, trainer.discriminator)
    batch = shared_weights.assign_weights(folder, variables, batch)
    return make_fit_program(
        trainer,
        NoiseBatches(images, batch_size, config.latent_dim).make(seed=0),
        gan_loss(trainer.generator, trainer.discriminator, batch),
        trainer.generator.trainable_variables + trainer.discriminator.trainable_variables,
        images.nbytes,
    )
