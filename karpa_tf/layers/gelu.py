"""The GELU by `erf`: Keras 3 takes `erfc`, of which TensorFlow has only a slow kernel on CPUs."""

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("karpa_tf")
def gelu(x):
    """Maps each x to x P(X <= x) for a standard normal X (Hendrycks and Gimpel 2016), as `keras.activations.gelu` does.

    Half types are computed in float32; their slopes are kept in the half type until the gradient is taken.
    """
    return _gelu(x)


@tf.custom_gradient
def _gelu(x):
    y = tf.cast(x, tf.float32 if x.dtype.size < 4 else x.dtype)
    scaled, half = y * math.sqrt(0.5), 0.5 * y
    twice_cdf = 1 + tf.math.erf(scaled)
    # The slope shares the `erf` with the value, and takes the place of x in what is kept until the gradient.
    twice_density = tf.exp(math.log(2 / math.sqrt(2 * math.pi)) - tf.square(scaled))
    slope = tf.cast(0.5 * twice_cdf + half * twice_density, x.dtype)
    # So written LiteRT's converter knows it for a GELU; of an `erf` elsewhere it makes nothing.
    return tf.cast(half * twice_cdf, x.dtype), lambda upstream: upstream * slope
