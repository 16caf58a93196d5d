"""Multi-head self-attention."""

import keras
import keras_hub
import tensorflow as tf
from keras import layers, ops

from karpa_tf.layers.initializers import scaled_truncated_normal

UNSEEN = -1e9


"""What is added to the scores of padding before the softmax."""


@keras.saving.register_keras_serializable("karpa_tf")
class SelfAttention(layers.Layer):
    """Multi-head attention of tokens to each other (Vaswani et al. 2017, section 3.2), by one matrix for all three.

    Maps float (batch, length, width) and `padding_mask`, bool (batch, length), to float (batch, length, width); nothing
    is taken from tokens whose mask is False.

    Args:
        heads: number of heads; divides the width.
        rotary: turn queries and keys by angles that grow with the place (Su et al. 2021).
    """

    def __init__(self, heads, rotary=False, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.rotary = heads, rotary

    def build(self, x_shape, padding_mask_shape):
        width = x_shape[-1]
        self.projection = layers.Dense(
            3 * width,
            kernel_initializer=scaled_truncated_normal(width),
            dtype=self.dtype_policy,
            name="query_key_value",
        )
        self.projection.build(x_shape)
        self.output_projection = layers.Dense(
            width, kernel_initializer=scaled_truncated_normal(width), dtype=self.dtype_policy, name="output"
        )
        self.output_projection.build(x_shape)
        if self.rotary:
            self.turn = keras_hub.layers.RotaryEmbedding(dtype=self.dtype_policy, name="turn")

    def call(self, x, padding_mask):
        length, width = ops.shape(x)[1], x.shape[-1]
        # Splitting the last axis, and not slicing an axis of three, makes the gradient one concatenation.
        parts = ops.split(self.projection(x), 3, axis=-1)
        query, key, value = (ops.reshape(part, (-1, length, self.heads, width // self.heads)) for part in parts)
        if self.rotary:
            query, key = self.turn(query), self.turn(key)
        # Products of matrices that lie together: an einsum over other orders turns them round again for each gradient.
        query = query * ops.cast((width // self.heads) ** -0.5, query.dtype)
        query, key, value = (ops.transpose(part, (0, 2, 1, 3)) for part in (query, key, value))
        scores = tf.matmul(query, key, transpose_b=True)
        exact = keras.backend.result_type(scores.dtype, "float32")
        unseen = ops.where(padding_mask, ops.cast(0, exact), ops.cast(UNSEEN, exact))
        shares = ops.softmax(ops.cast(scores, exact) + ops.expand_dims(unseen, (1, 2)))
        seen = ops.transpose(tf.matmul(ops.cast(shares, value.dtype), value), (0, 2, 1, 3))
        return self.output_projection(ops.reshape(seen, (-1, length, width)))

    def compute_output_shape(self, x_shape, padding_mask_shape):
        return x_shape

    def get_config(self):
        return super().get_config() | {"heads": self.heads, "rotary": self.rotary}
