"""What all contenders on Keras share, karpa_tf's own and others."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks.contender import Program

STEPS = 10**9
"""Of an epoch that does not end."""


def set_up(precision):
    """Seeds everything and sets the dtype policy; to be called before anything is made."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)


def cross_entropy(model, inputs, labels):
    """Returns the mean cross-entropy of a model's logits in inference mode, a number."""
    return _number(
        lambda inputs: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(inputs, training=False)), inputs
    )


def gan_loss(generator, discriminator, batch):
    """Returns the three losses of both players together, in inference mode, on a batch of `images` and `noise`."""

    def loss(images, noise):
        real = discriminator(images, training=False)
        fake = discriminator(generator(noise, training=False), training=False)
        return tf.nn.softplus(-real) + tf.nn.softplus(fake) + tf.nn.softplus(-fake)

    return _number(loss, batch["images"], batch["noise"])


def _number(function, *arguments):
    # Outside of a graph Keras would hold every layer's output until the end, and the peak of memory would be that.
    return float(tf.function(lambda *tensors: tf.reduce_mean(function(*tensors)))(*arguments))


class _Turns(keras.callbacks.Callback):
    def __init__(self, after_step):
        super().__init__()
        self.after_step = after_step

    def on_train_batch_end(self, batch, logs=None):
        self.after_step()


def fitted(trainer, batches, loss, variables, data_bytes=0):
    """Returns the `Program` of `trainer.fit` on an endless dataset.

    Args:
        trainer: compiled `keras.Model`.
        batches: `tf.data.Dataset` without end.
        loss: number, of the batch and weights of `same_work`.
        variables: the trainable ones.
        data_bytes: as for `Program`.
    """

    def run(after_step):
        trainer.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0, callbacks=[_Turns(after_step)])

    parameters = sum(int(np.prod(variable.shape)) for variable in variables)
    return Program(run, parameters, loss, data_bytes)


def repeat_batch(arrays):
    """Returns an endless dataset of one batch that is ready, and its size in bytes.

    tf.data's autotuning is off: it stalls by up to seconds.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    tensors = tf.nest.map_structure(tf.constant, arrays)
    dataset = tf.data.Dataset.from_tensors(tensors).repeat().prefetch(2).with_options(options)
    return dataset, sum(array.nbytes for array in tf.nest.flatten(arrays))
