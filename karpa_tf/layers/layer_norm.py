"""Layer normalization with a gradient in few steps: Keras 3 has TensorFlow derive one from every step of its own."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("karpa_tf")
class LayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` (Ba et al. 2016) of the last axis, with scale and offset.

    Same arguments, weights, names and results (to rounding) as Keras 3.15's; half types are computed in float32, and of
    a call only its input and two numbers for each row are kept until the gradient. Other axes, root-mean-square scaling
    and layers without scale or offset take Keras' own way.
    """

    def call(self, inputs):
        last = self.axis in (-1, [-1], len(inputs.shape) - 1, [len(inputs.shape) - 1])
        if not last or self.rms_scaling or not self.scale or not self.center:
            return super().call(inputs)
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        return tf.cast(_normalize(inputs, gamma, beta, self.epsilon), self.compute_dtype)


def _normalize(x, gamma, beta, epsilon):
    """Returns x, float (..., width), normalized over its last axis, times gamma, plus beta, both (width,)."""
    inner = tf.float32 if x.dtype.size < 4 else x.dtype

    @tf.custom_gradient
    def normalize(x, gamma, beta):
        y = tf.cast(x, inner)
        mean = tf.reduce_mean(y, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(y - mean), axis=-1, keepdims=True)
        inverse = tf.math.rsqrt(variance + tf.cast(epsilon, inner))

        def gradient(upstream):
            upstream = tf.cast(upstream, inner)
            normal = (tf.cast(x, inner) - mean) * inverse
            rows = tf.range(len(x.shape) - 1)
            scaled = upstream * tf.cast(gamma, inner)
            along = tf.reduce_mean(scaled * normal, axis=-1, keepdims=True)
            # What moves all of a row, or its deviation, moves nothing after the normalization.
            x_gradient = inverse * (scaled - tf.reduce_mean(scaled, axis=-1, keepdims=True) - along * normal)
            gamma_gradient = tf.reduce_sum(upstream * normal, axis=rows)
            beta_gradient = tf.reduce_sum(upstream, axis=rows)
            return (
                tf.cast(x_gradient, x.dtype),
                tf.cast(gamma_gradient, gamma.dtype),
                tf.cast(beta_gradient, beta.dtype),
            )

        normal = (y - mean) * inverse
        return tf.cast(normal * tf.cast(gamma, inner) + tf.cast(beta, inner), x.dtype), gradient

    return normalize(x, gamma, beta)
