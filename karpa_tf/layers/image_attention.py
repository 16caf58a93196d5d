"""Self-attention between the positions of a feature map."""

import keras
import tensorflow as tf
from keras import layers

from karpa_tf.layers.convolution import Conv2D
from karpa_tf.layers.spectral_norm import SpectralConv2D


@keras.saving.register_keras_serializable("karpa_tf")
class ImageAttention(layers.Layer):
    """Self-attention between the positions of a feature map (Zhang et al. 2018, "SAGAN", section 3), added to it.

    Maps float (batch, height, width, channels) to the same shape: `inputs + gamma * attention`, where `gamma` is
    trained from 0. Queries and keys have an eighth of the channels, values half of them. As in the authors' code, keys
    and values are those of 2x2 blocks of positions, by max pooling, so that height and width must be even.

    Args:
        spectral_norm: whether the four 1x1 convolutions have spectral normalization.
    """

    def __init__(self, spectral_norm=False, **kwargs):
        super().__init__(**kwargs)
        self.spectral_norm = spectral_norm

    def build(self, inputs_shape):
        height, width, channels = inputs_shape[1:]
        if height % 2 or width % 2:
            raise ValueError(f"The feature map must have an even height and width. Received: {height}x{width}.")
        convolution = SpectralConv2D if self.spectral_norm else Conv2D
        inner = (*inputs_shape[:-1], max(channels // 2, 1))
        sizes = {"query": channels // 8, "key": channels // 8, "value": channels // 2, "output": channels}
        for name, filters in sizes.items():
            layer = convolution(max(filters, 1), 1, use_bias=False, dtype=self.dtype_policy, name=name)
            layer.build(inner if name == "output" else inputs_shape)
            setattr(self, f"{name}_convolution", layer)
        self.pooling = layers.MaxPooling2D(2, dtype=self.dtype_policy)
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")

    def call(self, inputs, training=False):
        _, height, width, _ = inputs.shape
        query = _flatten(self._project("query", inputs, training))
        key = _flatten(self.pooling(self._project("key", inputs, training)))
        value = _flatten(self.pooling(self._project("value", inputs, training)))
        scores = tf.nn.softmax(tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32))  # (batch, query, key)
        context = tf.matmul(tf.cast(scores, value.dtype), value)
        context = tf.reshape(context, (-1, height, width, value.shape[-1]))
        return inputs + tf.cast(self.gamma, inputs.dtype) * self._project("output", context, training)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return super().get_config() | {"spectral_norm": self.spectral_norm}

    def _project(self, name, inputs, training):
        layer = getattr(self, f"{name}_convolution")
        return layer(inputs, training=training) if self.spectral_norm else layer(inputs)


def _flatten(x):
    """Returns a feature map as (batch, positions, channels)."""
    return tf.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))
