"""The GAN step: generator and discriminator are updated from one pass of the generator."""

import keras
import tensorflow as tf

from karpa_tf import losses
from karpa_tf.distribution import reductions
from karpa_tf.keras_compat import AlreadyBuilt
from karpa_tf.layers.differentiable_augmentation import UNIFORMS, AdaptiveAugmentation
from karpa_tf.models.gans import join_inputs
from karpa_tf.training.trainers.updates import make_moving_average, scale_loss, update_moving_average

FRACTION = 2 * UNIFORMS
"""Index of the random number of an image that is not for augmentation, which the gradient penalty uses."""

PROBABILITY = "augment_probability"

METRICS = ("g_loss", "d_loss_real", "d_loss_fake", "D(x)", "D(G(z))")


class GAN(AlreadyBuilt, keras.Model):
    """Trains a generator against a discriminator with `fit`, with simultaneous updates (Goodfellow et al. 2014).

    `fit` and `evaluate` take batches as `NoiseBatches` makes them, dicts of `images`, float32 (batch, height, width,
    channels) in [-1, 1], and `noise`, float32 (batch, latent_dim); `labels`, int32 (batch,), if the networks are
    conditional; and `uniform`, float32 (batch, FRACTION + 1), if there is an augmentation. Random numbers are part of
    the batch, so that a step depends on nothing but its batch and the weights, on any number of replicas.

    Every step reports `g_loss`, `d_loss_real`, `d_loss_fake` (nats), `D(x)` and `D(G(z))` (probabilities), as means
    over the epoch so far; and `augment_probability`, if it changes in training.

    Args:
        generator: functional model, noise, or [noise, labels], to images.
        discriminator: functional model, images, or [images, labels], to logits (batch, 1).
        ema: decay of the moving average of the generator's weights and batch statistics, as for
            `update_moving_average`; 0 for none.
        augmentation: a `DifferentiableAugmentation` of all images that the discriminator sees in training, or None.

    Attributes:
        exported: the generator to sample from, evaluate and export: the moving average of the trained generator, or
            the generator itself if `ema` is 0.
    """

    def __init__(self, generator, discriminator, ema=0.999, augmentation=None, **kwargs):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.ema, self.augmentation = ema, augmentation
        self.exported = make_moving_average(generator) if ema else generator
        self.means = [keras.metrics.Mean(name=name) for name in METRICS]
        if isinstance(augmentation, AdaptiveAugmentation):
            self.add_mean(PROBABILITY)
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
        return self.means

    def add_mean(self, name):
        """Adds a metric to those that a step reports."""
        self.means = [*self.means, keras.metrics.Mean(name=name)]

    def call(self, noise, training=False):
        """Returns images of the exported generator, float32 (batch, height, width, channels) in [-1, 1]."""
        return self.exported(noise, training=training)

    def generate(self, batch):
        """Returns images of the trained generator for a batch, in training mode."""
        return self.generator(join_inputs(self.generator, batch["noise"], batch.get("labels")), training=True)

    def generate_exported(self, batch):
        """Returns images of the exported generator for a batch."""
        return self.exported(join_inputs(self.exported, batch["noise"], batch.get("labels")), training=False)

    def discriminate(self, images, batch, training=True):
        """Returns the logits (batch, 1) of images that have the labels of a batch."""
        inputs = join_inputs(self.discriminator, images, batch.get("labels"))
        return self.discriminator(inputs, training=training)

    def augment(self, images, batch, index):
        """Returns images as the discriminator sees them.

        Args:
            images: float32 (batch, height, width, channels).
            batch: its `uniform` is used.
            index: 0 for real images, 1 for generated ones: their random numbers differ.
        """
        if not self.augmentation:
            return images
        return self.augmentation(images, batch["uniform"][:, index * UNIFORMS : (index + 1) * UNIFORMS])

    def adapt_augmentation(self, real_logits):
        """Tells the augmentation how the discriminator judges augmented real images: logits (batch, 1)."""
        if self.augmentation:
            signs = tf.sign(tf.cast(real_logits, tf.float32))
            count = reductions.sum_over_replicas(tf.size(signs))
            self.augmentation.adapt(reductions.sum_over_replicas(tf.reduce_sum(signs)), count)
            self.update_means({PROBABILITY: self.augmentation.probability()[None]})

    def train_step(self, data):
        with tf.GradientTape(persistent=True) as tape:
            fakes = self.generate(data)
            real_logits = self.discriminate(self.augment(data["images"], data, 0), data)
            fake_logits = self.discriminate(self.augment(fakes, data, 1), data)
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
        self.adapt_augmentation(real_logits)
        reductions.average_over_replicas(
            self.generator.non_trainable_variables + self.discriminator.non_trainable_variables
        )
        if self.ema:
            update_moving_average(self.exported, self.generator, self.ema, self.generator_optimizer)
        self.update_means(values)
        return self.results()

    def test_step(self, data):
        real_logits = self.discriminate(data["images"], data, training=False)
        fake_logits = self.discriminate(self.generate_exported(data), data, training=False)
        self.update_means(self._compute_losses(real_logits, fake_logits))
        return self.results()

    def update_means(self, values):
        """Updates the metrics of a step.

        Args:
            values: dict from names of metrics to float (batch,) or (batch, 1).
        """
        for metric in self.means:
            if metric.name in values:
                metric.update_state(values[metric.name])

    def results(self):
        """Returns what a step reports: a dict of the means so far."""
        return {metric.name: metric.result() for metric in self.means}

    def _compute_losses(self, real_logits, fake_logits):
        """Returns what a step reports, float32: the losses, (batch,), and the probabilities, (batch, 1)."""
        return {
            "g_loss": self.gan_losses.generator(fake_logits),
            "d_loss_real": self.gan_losses.real(real_logits),
            "d_loss_fake": self.gan_losses.fake(fake_logits),
            "D(x)": tf.sigmoid(real_logits),
            "D(G(z))": tf.sigmoid(fake_logits),
        }
