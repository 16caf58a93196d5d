"""Multi-head self-attention."""

import keras
import keras_hub
import tensorflow as tf
from keras import layers, ops

from karpa_tf.layers.initializers import make_initializer

MASK_BIAS = -1e9  # added to the scores of padding before the softmax


@keras.saving.register_keras_serializable("karpa_tf")
class SelfAttention(layers.Layer):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2), with one dense layer for query, key and value.

    Call arguments:
        inputs: float (batch, length, hidden_dim).
        padding_mask: bool (batch, length); tokens where it is False are not attended to. None attends to all.
        return_attention_scores: whether to return `(output, attention_scores)` instead of `output`.

    Returns float (batch, length, hidden_dim). `attention_scores` are the softmax probabilities, float (batch,
    num_heads, query, key); each row sums to 1. They are float32 under mixed precision.

    Args:
        num_heads: number of heads; must divide `hidden_dim`.
        rotary: whether to apply rotary position embeddings to queries and keys (Su et al. 2021).
        use_bias: whether both dense layers have biases.
    """

    def __init__(self, num_heads, rotary=False, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.rotary, self.use_bias = num_heads, rotary, use_bias

    def build(self, inputs_shape, padding_mask_shape=None):
        hidden_dim = inputs_shape[-1]
        self.qkv_dense = layers.Dense(
            3 * hidden_dim,
            use_bias=self.use_bias,
            kernel_initializer=make_initializer(hidden_dim),
            dtype=self.dtype_policy,
            name="query_key_value",
        )
        self.qkv_dense.build(inputs_shape)
        self.output_dense = layers.Dense(
            hidden_dim,
            use_bias=self.use_bias,
            kernel_initializer=make_initializer(hidden_dim),
            dtype=self.dtype_policy,
            name="attention_output",
        )
        self.output_dense.build(inputs_shape)
        if self.rotary:
            self.rotary_embedding = keras_hub.layers.RotaryEmbedding(dtype=self.dtype_policy, name="rotary_embedding")

    def call(self, inputs, padding_mask=None, return_attention_scores=False):
        length, hidden_dim = ops.shape(inputs)[1], inputs.shape[-1]
        head_dim = hidden_dim // self.num_heads
        # The gradient of a split along the last axis is a single concatenation; that of slices is not.
        projections = ops.split(self.qkv_dense(inputs), 3, axis=-1)
        query, key, value = (ops.reshape(x, (-1, length, self.num_heads, head_dim)) for x in projections)
        if self.rotary:
            query, key = self.rotary_embedding(query), self.rotary_embedding(key)
        query = query * ops.cast(head_dim**-0.5, query.dtype)
        # Transposed once, for `matmul`: an einsum over other axis orders transposes again in each of its gradients.
        query, key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
        logits = tf.matmul(query, key, transpose_b=True)  # (batch, num_heads, query, key)
        scores_dtype = self._scores_dtype()
        logits = ops.cast(logits, scores_dtype)
        if padding_mask is not None:
            mask_bias = ops.where(padding_mask, ops.cast(0, scores_dtype), ops.cast(MASK_BIAS, scores_dtype))
            logits = logits + ops.expand_dims(mask_bias, (1, 2))
        attention_scores = ops.softmax(logits)
        context = ops.transpose(tf.matmul(ops.cast(attention_scores, value.dtype), value), (0, 2, 1, 3))
        output = self.output_dense(ops.reshape(context, (-1, length, hidden_dim)))
        return (output, attention_scores) if return_attention_scores else output

    def compute_output_shape(self, inputs_shape, padding_mask_shape=None):
        return inputs_shape

    def compute_output_spec(self, inputs, padding_mask=None, return_attention_scores=False):
        output = keras.KerasTensor(inputs.shape, self.compute_dtype)
        if not return_attention_scores:
            return output
        batch_size, length = inputs.shape[:2]
        return output, keras.KerasTensor((batch_size, self.num_heads, length, length), self._scores_dtype())

    def get_config(self):
        own = {"num_heads": self.num_heads, "rotary": self.rotary, "use_bias": self.use_bias}
        return super().get_config() | own

    def _scores_dtype(self):
        return keras.backend.result_type(self.compute_dtype, "float32")
