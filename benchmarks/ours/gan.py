"""karpa_tf's GAN, from uint8 images on."""

import keras
import numpy as np

from benchmarks import made_up, same_work
from benchmarks.keras_programs import fitted, gan_loss, seed_everything
from karpa_tf.data.images.batches import make_noise_batches
from karpa_tf.data.images.decoding import normalize
from karpa_tf.models.dcgan import make_discriminator, make_generator
from karpa_tf.training.trainers.gan import GAN


def program(folder, precision, config, batch_size):
    """Returns the `Program` of the step of one generator pass, with Adam, on `make_noise_batches`.

    Args:
        folder: that of `same_work`.
        precision: "float32" or "bfloat16".
        config: a `DCGANConfig`.
        batch_size: images in a step.
    """
    seed_everything(precision)
    trainer = GAN(make_generator(config), make_discriminator(config), ema=0)
    trainer.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5), jit_compile=False)
    images = made_up.images(config.image_size, config.channels)
    noise = np.random.default_rng(1).normal(size=(batch_size, config.latent_dim)).astype(np.float32)
    batch = {"images": np.asarray(normalize(images[:batch_size])), "noise": noise}
    batch = same_work.start(folder, same_work.named_weights(trainer.generator, trainer.discriminator), batch)
    return fitted(
        trainer,
        make_noise_batches(images, batch_size, config.latent_dim, seed=0),
        gan_loss(trainer.generator, trainer.discriminator, batch),
        trainer.generator.trainable_variables + trainer.discriminator.trainable_variables,
        images.nbytes,
    )
