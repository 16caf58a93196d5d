"""Batch normalization by TensorFlow's one fused kernel, which Keras 3 leaves unused."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("karpa_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` of the last axis, over float (batch, height, width, channels), by one kernel.

    Same arguments, weights, names and results (to rounding) as Keras 3.15's, which computes in seven steps and, under a
    mixed policy, in float32; this one reads and writes the compute dtype and keeps the statistics in float32. Inputs of
    other ranks, other axes, masks, float64 and batch renormalization take Keras' own way.

    Every replica normalizes with the statistics of its own share of the batch, and moves its own averages; with
    `synchronized`, in Keras' own way, with those of the whole batch.
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
        # The kernel reports the unbiased variance, n / (n - 1) times that which Keras keeps.
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
        variance *= (count - 1) / count
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + tf.stop_gradient(value) * (1 - self.momentum))
        return outputs

    def _is_fused(self, inputs):
        """Returns whether the kernel can do what is asked for."""
        own_way = self.synchronized or getattr(self, "renorm", False)  # since Keras 3.14
        return not own_way and len(inputs.shape) == 4 and self.axis in (-1, 3) and self.compute_dtype != "float64"


def fuse_batch_norm(model):
    """Returns a functional model of the same weights whose batch normalization is all by this file's layer."""
    return _with_batch_norm(model, lambda layer: BatchNormalization.from_config(layer.get_config()))


def synchronize_batch_norm(model):
    """Returns a functional model of the same weights whose batch normalization sees the batches of all replicas."""
    return _with_batch_norm(model, lambda layer: type(layer).from_config(layer.get_config() | {"synchronized": True}))


def _with_batch_norm(model, make):
    """Returns a functional model of the same weights, with what `make` makes of each layer of batch normalization."""

    def copy(layer):
        if isinstance(layer, keras.layers.BatchNormalization):
            return make(layer)
        return type(layer).from_config(layer.get_config())

    other = keras.models.clone_model(model, clone_function=copy)
    other.set_weights(model.get_weights())
    return other
