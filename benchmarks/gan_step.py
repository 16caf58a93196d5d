"""Speed of a DCGAN step with one pass of the generator relative to two, in float32 and in bfloat16.

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

    from karpa_tf.configs.gan import TUTORIAL_28, TUTORIAL_64
    from karpa_tf.data.images.batches import make_noise_batches
    from karpa_tf.distribution import strategy
    from karpa_tf.models.dcgan import make_discriminator, make_generator
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
        batches = make_noise_batches(images, BATCH_SIZE, config.latent_dim, seed=0)
        trainers = {
            "two passes": make_trainer(make_two_pass_class(GAN), config, "float32"),
            "one pass": make_trainer(GAN, config, "float32"),
            "one pass, bfloat16": make_trainer(GAN, config, "mixed_bfloat16"),
        }
        rates = {name: [] for name in trainers}
        for _ in range(ROUNDS + 1):  # The first round compiles.
            for name, trainer in trainers.items():
                start = time.perf_counter()
                trainer.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0)
                rates[name].append(STEPS * BATCH_SIZE / (time.perf_counter() - start))
        for name, measured in rates.items():
            ratios = sorted(rate / base for rate, base in zip(measured[1:], rates["two passes"][1:], strict=True))
            print(
                f"{config.image_size}x{config.image_size}  {name:<20}{statistics.median(measured[1:]):7.0f}  "
                f"{statistics.median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )


def make_two_pass_class(gan_class):
    """Returns a subclass of `GAN` that runs the generator again for its own update, as the Keras example does."""
    import tensorflow as tf

    from karpa_tf import losses
    from karpa_tf.distribution import reductions
    from karpa_tf.training.trainers.updates import update_moving_average

    class TwoPassGAN(gan_class):
        """Updates the discriminator first, then the generator through the updated discriminator."""

        def train_step(self, data):
            images, noise = data
            fakes = self.generator(noise, training=True)
            with tf.GradientTape() as tape:
                real_logits = self.discriminator(images, training=True)
                fake_logits = self.discriminator(fakes, training=True)
                d_loss = losses.real_loss(real_logits) + losses.fake_loss(fake_logits)
                d_loss = reductions.mean_over_replicas(d_loss)
            variables = self.discriminator.trainable_variables
            self.discriminator_optimizer.apply(tape.gradient(d_loss, variables), variables)
            with tf.GradientTape() as tape:
                logits = self.discriminator(self.generator(noise, training=True), training=True)
                g_loss = reductions.mean_over_replicas(losses.non_saturating_loss(logits))
            variables = self.generator.trainable_variables
            self.generator_optimizer.apply(tape.gradient(g_loss, variables), variables)
            update_moving_average(self.exported, self.generator, self.ema, self.generator_optimizer)
            return self._report(
                {
                    "g_loss": losses.non_saturating_loss(logits),
                    "d_loss_real": losses.real_loss(real_logits),
                    "d_loss_fake": losses.fake_loss(fake_logits),
                },
                real_logits,
                fake_logits,
            )

    return TwoPassGAN


if __name__ == "__main__":
    main()
