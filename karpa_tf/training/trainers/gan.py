"""The GAN step: generator and discriminator are updated from one pass of the generator."""

import keras
import tensorflow as tf

from karpa_tf import losses
from karpa_tf.distribution import reductions
from karpa_tf.keras_compat import AlreadyBuilt
from karpa_tf.training.trainers.updates import make_moving_average, scale_loss, update_moving_average


class GAN(AlreadyBuilt, keras.Model):
    """Trains a generator against a discriminator with `fit`, with simultaneous updates (Goodfellow et al. 2014).

    `fit` and `evaluate` take batches of (`images`, `noise`): float32 (batch, height, width, channels) in [-1, 1] and
    float32 (batch, latent_dim). The noise is part of the batch, so that a step depends on nothing but its batch and the
    weights, on any number of replicas.

    Every step reports `g_loss`, `d_loss_real`, `d_loss_fake` (nats), `D(x)` and `D(G(z))` (probabilities), as means
    over the epoch so far.

    Args:
        generator: functional model, noise to images.
        discriminator: functional model, images to logits (batch, 1).
        ema: decay of the moving average of the generator's weights and batch statistics, as for
            `update_moving_average`; 0 for none.

    Attributes:
        exported: the generator to sample from, evaluate and export: the moving average of the trained generator, or
            the generator itself if `ema` is 0.
    """

    def __init__(self, generator, discriminator, ema=0.999, **kwargs):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.ema = ema
        self.exported = make_moving_average(generator) if ema else generator
        self.g_loss = keras.metrics.Mean(name="g_loss")
        self.d_loss_real = keras.metrics.Mean(name="d_loss_real")
        self.d_loss_fake = keras.metrics.Mean(name="d_loss_fake")
        self.d_real = keras.metrics.Mean(name="D(x)")
        self.d_fake = keras.metrics.Mean(name="D(G(z))")
        # Otherwise `fit` under a strategy needs a `call` on data to build from (keras#20164).
        self.built = True

    def compile(self, generator_optimizer, discriminator_optimizer, gan_losses=losses.NON_SATURATING, **kwargs):
        """Builds both optimizers, so that a checkpoint can restore them before the first step.

        Under `mixed_float16` each is wrapped in loss scaling, which Keras does for `model.optimizer` only.

        Args:
            generator_optimizer: a Keras optimizer.
            discriminator_optimizer: a Keras optimizer.
            gan_losses: a `losses.GANLosses`.
            **kwargs: for `keras.Model.compile`.
        """
        super().compile(optimizer=None, **kwargs)
        self.gan_losses = gan_losses
        self.generator_optimizer = scale_loss(generator_optimizer, self.generator)
        self.discriminator_optimizer = scale_loss(discriminator_optimizer, self.discriminator)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def network(self):
        """The trained generator, of which `exported` may be the moving average."""
        return self.generator

    @property
    def optimizers(self):
        """Both optimizers."""
        return [self.generator_optimizer, self.discriminator_optimizer]

    @property
    def metrics(self):
        # `fit` reduces metrics exactly over replicas only if these names are the keys that a step returns.
        return [self.g_loss, self.d_loss_real, self.d_loss_fake, self.d_real, self.d_fake]

    def call(self, noise, training=False):
        """Returns images of the exported generator, float32 (batch, height, width, channels) in [-1, 1]."""
        return self.exported(noise, training=training)

    def train_step(self, data):
        images, noise = data
        with tf.GradientTape(persistent=True) as tape:
            fakes = self.generator(noise, training=True)
            real_logits = self.discriminator(images, training=True)
            fake_logits = self.discriminator(fakes, training=True)
            values = self._compute_losses(real_logits, fake_logits)
            g_loss = reductions.mean_over_replicas(values["g_loss"])
            d_loss = reductions.mean_over_replicas(values["d_loss_real"] + values["d_loss_fake"])
            scaled_g_loss = self.generator_optimizer.scale_loss(g_loss)
            scaled_d_loss = self.discriminator_optimizer.scale_loss(d_loss)
        # Each network's gradient is taken with respect to its own variables; nothing is frozen in between.
        g_gradients = tape.gradient(scaled_g_loss, self.generator.trainable_variables)
        d_gradients = tape.gradient(scaled_d_loss, self.discriminator.trainable_variables)
        self.generator_optimizer.apply(g_gradients, self.generator.trainable_variables)
        self.discriminator_optimizer.apply(d_gradients, self.discriminator.trainable_variables)
        reductions.average_over_replicas(
            self.generator.non_trainable_variables + self.discriminator.non_trainable_variables
        )
        if self.ema:
            update_moving_average(self.exported, self.generator, self.ema, self.generator_optimizer)
        return self._report(values, real_logits, fake_logits)

    def test_step(self, data):
        images, noise = data
        real_logits = self.discriminator(images, training=False)
        fake_logits = self.discriminator(self.exported(noise, training=False), training=False)
        return self._report(self._compute_losses(real_logits, fake_logits), real_logits, fake_logits)

    def _compute_losses(self, real_logits, fake_logits):
        """Returns the three losses, each float32 (batch,)."""
        return {
            "g_loss": self.gan_losses.generator(fake_logits),
            "d_loss_real": self.gan_losses.real(real_logits),
            "d_loss_fake": self.gan_losses.fake(fake_logits),
        }

    def _report(self, values, real_logits, fake_logits):
        self.g_loss.update_state(values["g_loss"])
        self.d_loss_real.update_state(values["d_loss_real"])
        self.d_loss_fake.update_state(values["d_loss_fake"])
        self.d_real.update_state(tf.sigmoid(real_logits))
        self.d_fake.update_state(tf.sigmoid(fake_logits))
        return {metric.name: metric.result() for metric in self.metrics}
