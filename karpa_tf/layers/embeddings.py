"""Position encodings and biases."""

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("karpa_tf")
class Bias(layers.Layer):
    """Adds a trainable bias to the last axis.

    The output bias of a masked language model: the `MaskedLMHead` of KerasHub 0.32, which has one too, fails under
    mixed precision.
    """

    def build(self, inputs_shape):
        self.bias = self.add_weight(shape=(inputs_shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs):
        return inputs + self.bias


@keras.saving.register_keras_serializable("karpa_tf")
class SinePositionEncoding(layers.Layer):
    """Sinusoidal position encoding (Vaswani et al. 2017, section 3.5), with the values of KerasHub's layer.

    Maps float (batch, length, hidden_dim) to sines and cosines of the same shape, which depend on the shape only.
    KerasHub 0.32 computes them by an einsum that LiteRT's converter translates to a wrong product.
    """

    def call(self, inputs):
        length, hidden_dim = ops.shape(inputs)[1], inputs.shape[-1]
        # In float32: bfloat16 has no 257, so that neighboring positions of long sequences would be the same.
        positions = ops.cast(ops.arange(length), "float32")
        indices = np.arange(hidden_dim)
        frequencies = np.float32(1e-4) ** (indices // 2 * 2 / np.float32(hidden_dim)).astype(np.float32)
        angles = ops.expand_dims(positions, -1) * frequencies  # (length, hidden_dim)
        encoding = ops.where(indices % 2 == 0, ops.sin(angles), ops.cos(angles))
        return ops.broadcast_to(ops.cast(encoding, self.compute_dtype), ops.shape(inputs))
