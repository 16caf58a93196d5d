"""The GELU by `erf`: Keras 3 takes `erfc`, of which TensorFlow has only a slow kernel on CPUs."""

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("karpa_tf")
def gelu(x):
    """Maps each x to x P(X <= x) for a standard normal X (Hendrycks and Gimpel 2016), as `keras.activations.gelu` does.

    Half types are computed in float32, and so are their gradients.
    """
    return _gelu(x)


@tf.custom_gradient
def _gelu(x):
    inner = tf.float32 if x.dtype.size < 4 else x.dtype
    y = tf.cast(x, inner)

    def gradient(upstream):
        # From x alone: nothing else is kept until then.
        y = tf.cast(x, inner)
        density = tf.exp(-0.5 * tf.square(y)) / math.sqrt(2 * math.pi)
        return tf.cast(tf.cast(upstream, inner) * (_cdf(y) + y * density), x.dtype)

    # So written LiteRT's converter knows it for a GELU; of an `erf` elsewhere it makes nothing.
    return tf.cast((0.5 * y) * (1 + tf.math.erf(y * math.sqrt(0.5))), x.dtype), gradient


def _cdf(x):
    return 0.5 + 0.5 * tf.math.erf(math.sqrt(0.5) * x)
