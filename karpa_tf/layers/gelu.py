"""GELU by `erf`; Keras 3.15 uses `erfc`, which TensorFlow 2.21 computes slowly on CPUs."""

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("karpa_tf")
def gelu(x):
    """Returns x P(X <= x) for a standard normal X (Hendrycks and Gimpel 2016), as `keras.activations.gelu` does.

    float16 and bfloat16 are computed in float32; the derivative is kept in the dtype of `x` for the gradient.
    """
    return _gelu(x)


@tf.custom_gradient
def _gelu(x):
    y = tf.cast(x, tf.float32 if x.dtype.size < 4 else x.dtype)
    scaled, half = y * math.sqrt(0.5), 0.5 * y
    twice_cdf = 1 + tf.math.erf(scaled)
    # Computing the derivative here reuses the `erf`, and it is kept for the gradient instead of x.
    twice_pdf = tf.exp(math.log(2 / math.sqrt(2 * math.pi)) - tf.square(scaled))
    derivative = tf.cast(0.5 * twice_cdf + half * twice_pdf, x.dtype)
    # LiteRT's converter recognizes a GELU written in this form; it cannot convert any other `erf`.
    return tf.cast(half * twice_cdf, x.dtype), lambda upstream: upstream * derivative
