"""A Transformer layer (Vaswani et al. 2017): self-attention and a feed-forward block, each with a residual."""

from keras import layers, ops

from karpa_tf.layers.attention import SelfAttention
from karpa_tf.layers.dropout import Dropout
from karpa_tf.layers.gelu import gelu
from karpa_tf.layers.initializers import make_initializer
from karpa_tf.layers.layer_norm import LayerNormalization


def transformer_layer(x, padding_mask, config, name):
    """Returns the output of a layer in a functional graph, float (batch, length, hidden_dim).

    Args:
        x: float (batch, length, hidden_dim).
        padding_mask: bool (batch, length), False for padding.
        config: a `BERTConfig`.
        name: prefix of the names of its layers.
    """
    rotary = config.position_embedding == "rotary"
    attention = SelfAttention(config.num_heads, rotary, config.use_bias, name=f"{name}_self_attention")
    x = _residual(x, lambda y: attention(y, padding_mask=padding_mask), config, f"{name}_self_attention")
    return _residual(x, lambda y: _feedforward(y, config, f"{name}_feedforward"), config, f"{name}_feedforward")


def make_layer_norm(config, name):
    """Returns a layer normalization with the epsilon of a `BERTConfig`."""
    return LayerNormalization(epsilon=config.layer_norm_epsilon, name=name)


def _feedforward(x, config, name):
    initializer = make_initializer(config.hidden_dim)

    def dense(units, part, activation=None):
        options = {"use_bias": config.use_bias, "kernel_initializer": initializer}
        return layers.Dense(units, activation, name=f"{name}_{part}_dense", **options)

    if config.activation == "geglu":
        gate, value = ops.split(dense(2 * config.intermediate_dim, "intermediate")(x), 2, axis=-1)
        x = layers.Multiply()([layers.Activation(gelu)(gate), value])
    else:
        x = dense(config.intermediate_dim, "intermediate", gelu)(x)
    return dense(config.hidden_dim, "output")(x)


def _residual(x, block, config, name):
    """Returns `x + block(x)`, with layer normalization before the block or after the sum."""
    dropout = Dropout(config.dropout)
    if not config.normalize_first:
        return make_layer_norm(config, f"{name}_layer_norm")(layers.Add()([x, dropout(block(x))]))
    return layers.Add()([x, dropout(block(make_layer_norm(config, f"{name}_layer_norm")(x)))])
