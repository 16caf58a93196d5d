"""The training step of Keras' DCGAN example (keras.io, generative/dcgan_overriding_train_step), written anew.

The discriminator is trained on one batch of real and generated images together; then the generator generates another
batch and is trained. Differences from the example: the networks are karpa_tf's, built of plain Keras layers, and no
noise is added to the labels.
"""

import keras
import tensorflow as tf
from keras import layers

from benchmarks import shared_weights
from benchmarks.keras_programs import configure_keras, gan_loss, make_fit_program, repeat_batch


def make_program(folder, precision, config, batch_size):
    """Returns the `Program` of the example's step with Adam, on one repeated batch.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16".
        config: a `DCGANConfig`.
        batch_size: images per step, as many as in the shared batch.
    """
    configure_keras(precision)
    trainer = DCGAN(make_generator(config), make_discriminator(config), config.latent_dim)
    trainer.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5), jit_compile=False)
    variables = shared_weights.name_variables(trainer.generator, trainer.discriminator)
    batch = shared_weights.assign_weights(folder, variables)
    loss = gan_loss(trainer.generator, trainer.discriminator, batch)
    weights = trainer.generator.trainable_variables + trainer.discriminator.trainable_variables
    batches, size = repeat_batch(batch["images"])
    return make_fit_program(trainer, batches, loss, weights, size)


class DCGAN(keras.Model):
    """Trains a generator against a discriminator."""

    def __init__(self, generator, discriminator, latent_dim):
        super().__init__()
        self.generator, self.discriminator, self.latent_dim = generator, discriminator, latent_dim
        self.d_loss, self.g_loss = keras.metrics.Mean(name="d_loss"), keras.metrics.Mean(name="g_loss")
        self.criterion = keras.losses.BinaryCrossentropy(from_logits=True)
        self.built = True

    def compile(self, g_optimizer, d_optimizer, **kwargs):
        super().compile(**kwargs)
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer

    @property
    def metrics(self):
        return [self.d_loss, self.g_loss]

    def train_step(self, images):
        count = tf.shape(images)[0]
        fakes = self.generator(tf.random.normal((count, self.latent_dim)), training=True)
        both = tf.concat([fakes, images], axis=0)
        labels = tf.concat([tf.zeros((count, 1)), tf.ones((count, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.criterion(labels, self.discriminator(both, training=True))
        weights = self.discriminator.trainable_variables
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
        noise = tf.random.normal((count, self.latent_dim))
        with tf.GradientTape() as tape:
            logits = self.discriminator(self.generator(noise, training=True), training=True)
            g_loss = self.criterion(tf.ones((count, 1)), logits)
        weights = self.generator.trainable_variables
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {metric.name: metric.result() for metric in self.metrics}


def make_generator(config):
    """Returns the network of `karpa_tf.models.dcgan.make_generator`, built of plain Keras layers."""
    activation = {"negative_slope": config.generator_negative_slope}
    x = noise = keras.Input((config.latent_dim,))
    x = layers.Dense(config.base_size * config.base_size * config.filters[0], use_bias=False)(x)
    x = layers.Reshape((config.base_size, config.base_size, config.filters[0]))(x)
    x = layers.LeakyReLU(**activation)(layers.BatchNormalization()(x))
    for filters in config.filters[1:]:
        x = layers.Conv2DTranspose(filters, config.kernel_size, 2, "same", use_bias=False)(x)
        x = layers.LeakyReLU(**activation)(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(config.channels, config.kernel_size, 2, "same")(x)
    return keras.Model(noise, layers.Activation("tanh", dtype="float32")(x))


def make_discriminator(config):
    """Returns the network of `karpa_tf.models.dcgan.make_discriminator`, built of plain Keras layers."""
    x = images = keras.Input((config.image_size, config.image_size, config.channels))
    for stage, filters in enumerate(config.discriminator_filters):
        has_norm = config.discriminator_batch_norm and stage > 0
        x = layers.Conv2D(filters, config.kernel_size, 2, "same", use_bias=not has_norm)(x)
        if has_norm:
            x = layers.BatchNormalization()(x)
        x = layers.LeakyReLU(negative_slope=config.discriminator_negative_slope)(x)
        if config.dropout:
            x = layers.Dropout(config.dropout)(x)
    return keras.Model(images, layers.Dense(1, dtype="float32")(layers.Flatten()(x)))
