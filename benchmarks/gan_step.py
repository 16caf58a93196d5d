"""Speed of a DCGAN step that updates both networks at once relative to alternating updates, in float32 and bfloat16.

$ python -m benchmarks.gan_step

Trains the tutorial's 28x28 and 64x64 networks on random images for some steps with each trainer, in turn. Prints the
median rates, and the median, minimum and maximum over the rounds of their ratios.
"""

import statistics
import time

from karpa_tf.system import console

ROUNDS = 7
STEPS = 30
BATCH_SIZE = 64


def main():
    console.hide_tensorflow_messages()
    import keras
    import numpy as np

    from karpa_tf.configs.dcgan import TUTORIAL_28, TUTORIAL_64
    from karpa_tf.data.images.batches import NoiseBatches
    from karpa_tf.distribution import strategy
    from karpa_tf.models.dcgan import make_discriminator, make_generator
    from karpa_tf.training.trainers.alternating_gan import AlternatingGAN
    from karpa_tf.training.trainers.gan import GAN

    def make_trainer(trainer_class, config, precision):
        keras.config.set_dtype_policy(precision)
        trainer = trainer_class(make_generator(config), make_discriminator(config))
        trainer.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5))
        return trainer

    devices = strategy.describe_devices(strategy.make_strategy("none"))
    print(f"{devices}, batch {BATCH_SIZE}, {ROUNDS} rounds of {STEPS} steps, images/s")
    for config in (TUTORIAL_28, TUTORIAL_64):
        shape = (512, config.image_size, config.image_size, config.channels)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        trainers = {
            "alternating": make_trainer(AlternatingGAN, config, "float32"),
            "at once": make_trainer(GAN, config, "float32"),
            "at once, bfloat16": make_trainer(GAN, config, "mixed_bfloat16"),
        }
        batches = {
            name: NoiseBatches(images, BATCH_SIZE, config.latent_dim, critic_steps=int(name == "alternating")).make(0)
            for name in trainers
        }
        rates = {name: [] for name in trainers}
        for _ in range(ROUNDS + 1):  # The first round compiles.
            for name, trainer in trainers.items():
                start = time.perf_counter()
                trainer.fit(batches[name], steps_per_epoch=STEPS, shuffle=False, verbose=0)
                rates[name].append(STEPS * BATCH_SIZE / (time.perf_counter() - start))
        for name, measured in rates.items():
            ratios = sorted(rate / base for rate, base in zip(measured[1:], rates["alternating"][1:], strict=True))
            print(
                f"{config.image_size}x{config.image_size}  {name:<20}{statistics.median(measured[1:]):7.0f}  "
                f"{statistics.median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
