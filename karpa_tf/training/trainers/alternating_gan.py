"""The GAN step in which the discriminator is updated several times before the generator."""

import tensorflow as tf

from karpa_tf.distribution import reductions
from karpa_tf.training.precision import float32_scope
from karpa_tf.training.trainers.gan import FRACTION, GAN
from karpa_tf.training.trainers.penalties import gradient_penalty, r1_penalty
from karpa_tf.training.trainers.updates import update_moving_average


class AlternatingGAN(GAN):
    """Trains like `GAN`, but every update of the discriminator has images and noise of its own.

    A batch holds what `NoiseBatches` with `critic_steps` makes: that many updates of the discriminator are followed by
    one of the generator (Goodfellow et al. 2014, algorithm 1; Gulrajani et al. 2017, algorithm 1). With a penalty, a
    step reports its mean too, `penalty`, without its weight.

    The penalty is that of the discriminator in inference mode, without dropout and with moving batch statistics, so
    that it is a function of each image alone, and is computed in float32 under mixed precision. With an augmentation it
    is taken at augmented images, and of the gradient with respect to these.

    Args:
        *args: as for `GAN`.
        penalty: "none", "gradient" or "r1".
        penalty_weight: its weight.
        penalty_every: "r1" is computed every so many updates, with as many times the weight (Karras et al. 2020,
            "StyleGAN2", appendix B: lazy regularization).
        **kwargs: as for `GAN`.
    """

    def __init__(self, *args, penalty="none", penalty_weight=10.0, penalty_every=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.penalty, self.penalty_weight, self.penalty_every = penalty, penalty_weight, penalty_every
        if penalty != "none":
            self.add_mean("penalty")

    def train_step(self, data):
        parts = {name: tf.unstack(values, axis=1) for name, values in data.items()}
        critic_steps = len(parts["images"])
        for index in range(critic_steps):
            self._update_discriminator({name: values[index] for name, values in parts.items()})
        self._update_generator({name: values[-1] for name, values in parts.items()})
        reductions.average_over_replicas(
            self.generator.non_trainable_variables + self.discriminator.non_trainable_variables
        )
        if self.ema:
            update_moving_average(self.exported, self.generator, self.ema, self.generator_optimizer)
        return self.results()

    def test_step(self, data):
        # Of the first update's images and noise.
        batch = {name: values[:, 0] for name, values in data.items()}
        if self.penalty != "none":
            self.update_means({"penalty": self._penalize(batch["images"], self.generate_exported(batch), batch)})
        return super().test_step(batch)

    def _update_discriminator(self, batch):
        fakes = tf.stop_gradient(self.generate(batch))
        with tf.GradientTape() as tape:
            reals, fakes = self.augment(batch["images"], batch, 0), self.augment(fakes, batch, 1)
            real_logits, fake_logits = self.discriminate(reals, batch), self.discriminate(fakes, batch)
            values = {
                "d_loss_real": self.gan_losses.real(real_logits),
                "d_loss_fake": self.gan_losses.fake(fake_logits),
                "D(x)": tf.sigmoid(real_logits),
            }
            penalty = self._penalize_when_due(reals, fakes, batch)
            loss = values["d_loss_real"] + values["d_loss_fake"] + self.penalty_weight * penalty
            scaled = self.discriminator_optimizer.scale_loss(reductions.mean_over_replicas(loss))
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(scaled, variables), variables)
        self.adapt_augmentation(real_logits)
        if self.penalty != "none":
            # It is 0 in updates without one and has a larger weight in the others, so that the mean is the penalty's.
            values["penalty"] = penalty
        self.update_means(values)

    def _update_generator(self, batch):
        with tf.GradientTape() as tape:
            logits = self.discriminate(self.augment(self.generate(batch), batch, 1), batch)
            loss = self.gan_losses.generator(logits)
            scaled = self.generator_optimizer.scale_loss(reductions.mean_over_replicas(loss))
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply(tape.gradient(scaled, variables), variables)
        self.update_means({"g_loss": loss, "D(G(z))": tf.sigmoid(logits)})

    def _penalize_when_due(self, reals, fakes, batch):
        """Returns the penalty of this update, float32 (batch,); zeros if it has none."""
        zeros = tf.zeros(tf.shape(reals)[:1])
        if self.penalty == "none":
            return zeros
        if self.penalty_every == 1:
            return self._penalize(reals, fakes, batch)
        is_due = tf.equal(self.discriminator_optimizer.iterations.value % self.penalty_every, 0)
        return tf.cond(is_due, lambda: self.penalty_every * self._penalize(reals, fakes, batch), lambda: zeros)

    def _penalize(self, reals, fakes, batch):
        """Returns the penalty of images and generated images, float32 (batch,)."""

        def discriminate(images):
            with float32_scope(self.discriminator):
                return self.discriminate(images, batch, training=False)

        if self.penalty == "gradient":
            return gradient_penalty(discriminate, reals, fakes, batch["uniform"][:, FRACTION])
        return r1_penalty(discriminate, reals)
