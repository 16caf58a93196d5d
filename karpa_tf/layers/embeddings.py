"""Position encodings and biases."""

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("karpa_tf")
class Bias(layers.Layer):
    """Adds a number to each place of the last axis; KerasHub 0.32's `MaskedLMHead` fails to under mixed precision."""

    def build(self, x_shape):
        self.bias = self.add_weight(shape=(x_shape[-1],), initializer="zeros", name="bias")

    def call(self, x):
        return x + self.bias


@keras.saving.register_keras_serializable("karpa_tf")
class SinePositionEncoding(layers.Layer):
    """Maps x, float (batch, length, width), to sines and cosines of the places, of the same shape.

    Vaswani et al. 2017, section 3.5, as KerasHub computes it; of its einsum LiteRT's converter makes a wrong product.
    """

    def call(self, x):
        length, width = ops.shape(x)[1], x.shape[-1]
        places = ops.cast(ops.arange(length), self.compute_dtype)
        numbers = np.arange(width)
        exponents = ops.cast(numbers // 2 * 2, self.compute_dtype) / ops.cast(width, self.compute_dtype)
        frequencies = ops.power(ops.cast(1e-4, self.compute_dtype), exponents)
        angles = ops.expand_dims(places, -1) * frequencies
        sines = ops.where(numbers % 2 == 0, ops.sin(angles), ops.cos(angles))
        return ops.broadcast_to(sines, ops.shape(x))
