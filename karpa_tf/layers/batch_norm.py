"""Batch normalization by TensorFlow's fused kernel, which Keras 3.15 does not use."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("karpa_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis of float (batch, height, width, channels), by one kernel.

    It has the arguments, weights, names and (up to rounding) results of Keras 3.15's layer, which runs seven operations
    and, under mixed precision, computes in float32. This layer reads and writes the compute dtype and keeps the
    statistics in float32. For inputs of other ranks, other axes, masks, float64 and batch renormalization, Keras'
    implementation is used.

    Each replica normalizes with the statistics of its own part of the batch and updates its own moving averages; with
    `synchronized`, which uses Keras' implementation, with the statistics of the global batch.
    """

    def call(self, inputs, training=None, mask=None):
        if mask is not None or not self._is_fused(inputs):
            return super().call(inputs, training=training, mask=mask)
        training = bool(training) and self.trainable
        x = tf.cast(inputs, self.compute_dtype)
        channels = inputs.shape[-1]
        gamma = tf.convert_to_tensor(self.gamma, tf.float32) if self.scale else tf.ones(channels)
        beta = tf.convert_to_tensor(self.beta, tf.float32) if self.center else tf.zeros(channels)
        if not training:
            outputs, *_ = tf.compat.v1.nn.fused_batch_norm(
                x,
                gamma,
                beta,
                tf.convert_to_tensor(self.moving_mean, tf.float32),
                tf.convert_to_tensor(self.moving_variance, tf.float32),
                epsilon=self.epsilon,
                is_training=False,
            )
            return outputs
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=self.epsilon)[:3]
        # The kernel returns the unbiased variance, n / (n - 1) times the one that Keras averages.
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
        variance *= (count - 1) / count
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + tf.stop_gradient(value) * (1 - self.momentum))
        return outputs

    def _is_fused(self, inputs):
        """Returns whether the kernel supports this input and this configuration."""
        needs_keras = self.synchronized or getattr(self, "renorm", False)  # `renorm` exists from Keras 3.14 on
        return not needs_keras and len(inputs.shape) == 4 and self.axis in (-1, 3) and self.compute_dtype != "float64"


def fuse_batch_norm(model):
    """Returns a copy of a functional model, with the same weights, that uses this file's batch normalization."""
    return _replace_batch_norm(model, lambda layer: BatchNormalization.from_config(layer.get_config()))


def synchronize_batch_norm(model):
    """Returns a copy of a functional model, with the same weights, that normalizes over the global batch."""
    return _replace_batch_norm(
        model, lambda layer: type(layer).from_config(layer.get_config() | {"synchronized": True})
    )


def _replace_batch_norm(model, replace):
    """Returns a copy of a functional model, with the same weights, and `replace(layer)` for batch normalization."""

    def clone(layer):
        # Conditional batch normalization is one too.
        return replace(layer) if "synchronized" in layer.get_config() else type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
