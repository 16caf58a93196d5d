"""A Transformer layer (Vaswani et al. 2017): self-attention and a feed-forward block, each with a residual."""

from keras import layers, ops

from karpa_tf.layers.attention import SelfAttention
from karpa_tf.layers.dropout import Dropout, StochasticDepth
from karpa_tf.layers.gelu import gelu
from karpa_tf.layers.initializers import make_initializer
from karpa_tf.layers.layer_norm import LayerNormalization


def transformer_layer(x, padding_mask, config, name, skip_rate=0.0):
    """Returns the output of a layer in a functional graph, float (batch, length, hidden_dim).

    Args:
        x: float (batch, length, hidden_dim).
        padding_mask: bool (batch, length), False for padding, or None if there is none.
        config: a `TransformerConfig`.
        name: prefix of the names of its layers.
        skip_rate: probability that a block is skipped for an example in training, as for `StochasticDepth`.
    """
    attention = SelfAttention(config.num_heads, config.is_rotary, config.use_bias, name=f"{name}_self_attention")
    masks = {} if padding_mask is None else {"padding_mask": padding_mask}
    x = _residual(x, lambda y: attention(y, **masks), config, f"{name}_self_attention", skip_rate)
    return _residual(
        x, lambda y: _feedforward(y, config, f"{name}_feedforward"), config, f"{name}_feedforward", skip_rate
    )


def make_layer_norm(config, name):
    """Returns a layer normalization with the epsilon of a `TransformerConfig`."""
    return LayerNormalization(epsilon=config.layer_norm_epsilon, name=name)


def _feedforward(x, config, name):
    def dense(units, part, activation=None):
        options = {"use_bias": config.use_bias, "kernel_initializer": make_initializer(config.hidden_dim)}
        return layers.Dense(units, activation, name=f"{name}_{part}_dense", **options)

    if config.activation == "geglu":
        gate, value = ops.split(dense(2 * config.intermediate_dim, "intermediate")(x), 2, axis=-1)
        x = layers.Multiply()([layers.Activation(gelu)(gate), value])
    else:
        x = dense(config.intermediate_dim, "intermediate", gelu)(x)
    return dense(config.hidden_dim, "output")(x)


def _residual(x, block, config, name, skip_rate):
    """Returns `x + block(x)`, with layer normalization before the block or after the sum."""
    layer_norm = make_layer_norm(config, f"{name}_layer_norm")
    y = Dropout(config.dropout)(block(layer_norm(x) if config.normalize_first else x))
    if skip_rate:
        y = StochasticDepth(skip_rate)(y)
    x = layers.Add()([x, y])
    return x if config.normalize_first else layer_norm(x)
