"""What all contenders on Keras share, karpa_tf's included."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks.program import Program

STEPS = 10**9
"""Steps per epoch; the epoch never ends."""


def configure_keras(precision):
    """Seeds all generators and sets the dtype policy for "float32" or "bfloat16"; call it before making layers."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)


def cross_entropy(model, inputs, labels):
    """Returns the mean cross-entropy of a model's logits in inference mode, a float."""
    return _compute_mean(
        lambda inputs: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(inputs, training=False)), inputs
    )


def gan_loss(generator, discriminator, batch):
    """Returns the sum of the generator's and both discriminator losses in inference mode, a float.

    Args:
        generator: functional model, noise to images.
        discriminator: functional model, images to logits.
        batch: dict with `images` and `noise`.
    """

    def loss(images, noise):
        real = discriminator(images, training=False)
        fake = discriminator(generator(noise, training=False), training=False)
        return tf.nn.softplus(-real) + tf.nn.softplus(fake) + tf.nn.softplus(-fake)

    return _compute_mean(loss, batch["images"], batch["noise"])


def _compute_mean(function, *arguments):
    # In eager mode Keras would keep the outputs of all layers until the end, which would be the peak memory.
    return float(tf.function(lambda *tensors: tf.reduce_mean(function(*tensors)))(*arguments))


class _AfterStep(keras.callbacks.Callback):
    def __init__(self, after_step):
        super().__init__()
        self.after_step = after_step

    def on_train_batch_end(self, batch, logs=None):
        self.after_step()


def make_fit_program(trainer, batches, loss, variables, data_bytes=0):
    """Returns the `Program` of `trainer.fit`.

    Args:
        trainer: compiled `keras.Model`.
        batches: endless `tf.data.Dataset`.
        loss: as for `Program`.
        variables: list of trainable variables.
        data_bytes: as for `Program`.
    """

    def run(after_step):
        trainer.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0, callbacks=[_AfterStep(after_step)])

    parameters = sum(int(np.prod(variable.shape)) for variable in variables)
    return Program(run, parameters, loss, data_bytes)


def repeat_batch(arrays):
    """Returns an endless dataset that repeats one batch, nested arrays, and the size of the batch in bytes.

    Autotuning of tf.data is off because it can stall for seconds.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    tensors = tf.nest.map_structure(tf.constant, arrays)
    dataset = tf.data.Dataset.from_tensors(tensors).repeat().prefetch(2).with_options(options)
    return dataset, sum(array.nbytes for array in tf.nest.flatten(arrays))
