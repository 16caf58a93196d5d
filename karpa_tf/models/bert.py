"""BERT: an encoder of tokens, and the head that guesses the hidden ones (Devlin et al. 2018)."""

import keras
import keras_hub
from keras import layers, ops

from karpa_tf.layers.attention import SelfAttention
from karpa_tf.layers.dropout import Dropout
from karpa_tf.layers.embeddings import Bias, SinePositionEncoding
from karpa_tf.layers.gelu import gelu
from karpa_tf.layers.initializers import initial_stddev, scaled_truncated_normal
from karpa_tf.layers.layer_norm import LayerNormalization

EPSILON = 1e-12
"""In every normalization, as in the published network."""


def make_encoder(config, vocabulary_size):
    """Maps tokens to their features in context: `features`, float (batch, length, width).

    Inputs: `token_ids`, int32 (batch, length), `padding_mask`, bool (batch, length), True for what is no padding, and,
    if the config has segments, `segment_ids`, int32 (batch, length).

    Args:
        config: a `BERTConfig`; the length of a batch is any, up to the config's where positions are learned.
        vocabulary_size: number of tokens.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    small = scaled_truncated_normal(config.hidden_dim)
    embedding = keras_hub.layers.ReversibleEmbedding(
        vocabulary_size, config.hidden_dim, embeddings_initializer=small, name="token_embedding"
    )
    x = embedding(token_ids)
    if config.position_embedding == "learned":
        positions = keras_hub.layers.PositionEmbedding(config.max_sequence_length, small, name="position_embedding")
        x = layers.Add()([x, positions(x)])
    elif config.position_embedding == "sinusoidal":
        # Scaled, for sines would drown embeddings that are so small.
        sines = SinePositionEncoding(name="position_encoding")(x)
        x = layers.Add()([x, initial_stddev(config.hidden_dim) * sines])
    if config.num_segments:
        inputs["segment_ids"] = keras.Input((None,), dtype="int32", name="segment_ids")
        segments = layers.Embedding(config.num_segments, config.hidden_dim, small, name="segment_embedding")
        x = layers.Add()([x, segments(inputs["segment_ids"])])
    if not config.normalize_first:
        x = _norm("embedding_norm")(x)
    x = Dropout(config.dropout)(x)
    for number in range(config.num_layers):
        x = _block(x, padding_mask, config, f"block_{number}")
    if config.normalize_first:
        x = _norm("final_norm")(x)
    return keras.Model(inputs, layers.Identity(name="features")(x), name="encoder")


def make_masked_lm(config, encoder):
    """Maps tokens and places to `logits`, float32 (batch, predictions, vocabulary_size).

    Inputs: those of the encoder, and `mask_positions`, int32 (batch, predictions): only these places are predicted. The
    output kernel is the token embedding.

    Args:
        config: the encoder's `BERTConfig`.
        encoder: what `make_encoder` returned; its weights are shared.
    """
    inputs = {tensor.name: tensor for tensor in encoder.inputs}
    mask_positions = inputs["mask_positions"] = keras.Input((None,), dtype="int32", name="mask_positions")
    chosen = ops.take_along_axis(encoder.output, ops.expand_dims(mask_positions, -1), axis=1)
    x = layers.Dense(
        config.hidden_dim, gelu, kernel_initializer=scaled_truncated_normal(config.hidden_dim), name="head"
    )(chosen)
    x = _norm("head_norm")(x)
    x = encoder.get_layer("token_embedding")(x, reverse=True)
    return keras.Model(inputs, Bias(dtype="float32", name="logits")(x), name="masked_lm")


def make_pretraining(config, encoder):
    """Maps tokens to `logits`, as `make_masked_lm` does, and `is_next`, float32 (batch,): a logit for each pair.

    Whether the second segment follows the first is read off the pooled first token (Devlin et al. 2018, section 3.1);
    one logit stands for the paper's two.
    """
    masked_lm = make_masked_lm(config, encoder)
    small = scaled_truncated_normal(config.hidden_dim)
    x = layers.Dense(config.hidden_dim, "tanh", kernel_initializer=small, name="first_pooled")(encoder.output[:, 0])
    x = layers.Dense(1, kernel_initializer=small, dtype="float32", name="next_sentence")(x)
    outputs = {"logits": masked_lm.output, "is_next": layers.Reshape((), dtype="float32", name="is_next")(x)}
    return keras.Model({tensor.name: tensor for tensor in masked_lm.inputs}, outputs, name="pretraining")


def make_text_classifier(config, encoder, classes):
    """Maps tokens to `logits`, float32 (batch, classes), from the mean of their features (Reimers and Gurevych 2019).

    BERT takes the first token's, which next-sentence prediction has prepared; without that it has learned nothing of
    the text. Inputs are those of the encoder, whose weights are shared.
    """
    inputs = {tensor.name: tensor for tensor in encoder.inputs}
    mean = layers.GlobalAveragePooling1D(dtype="float32", name="mean")(encoder.output, mask=inputs["padding_mask"])
    x = layers.Dense(
        config.hidden_dim, "tanh", kernel_initializer=scaled_truncated_normal(config.hidden_dim), name="pooled"
    )(mean)
    x = Dropout(config.dropout)(x)
    logits = layers.Dense(
        classes, kernel_initializer=scaled_truncated_normal(config.hidden_dim), dtype="float32", name="logits"
    )(x)
    return keras.Model(inputs, logits, name="text_classifier")


def extract_encoder(model):
    """Returns the encoder within a model of this file: tokens to `features`; the weights are shared."""
    return _ending_at(model, "features", leave_out=("mask_positions",))


def extract_masked_lm(model):
    """Returns the masked language model within one of `make_pretraining` or `make_masked_lm`; weights are shared."""
    return _ending_at(model, "logits")


def _ending_at(model, layer, leave_out=()):
    kept = {tensor.name: tensor for tensor in model.inputs if tensor.name not in leave_out}
    return keras.Model(kept, model.get_layer(layer).output, name=layer)


def _block(x, padding_mask, config, name):
    attention = SelfAttention(config.num_heads, config.position_embedding == "rotary", name=f"{name}_attention")
    x = _added(x, lambda y: attention(y, padding_mask=padding_mask), config, f"{name}_attention")
    small = scaled_truncated_normal(config.hidden_dim)
    inner = layers.Dense(config.intermediate_dim, gelu, kernel_initializer=small, name=f"{name}_feed_forward")
    outer = layers.Dense(config.hidden_dim, kernel_initializer=small, name=f"{name}_feed_forward_output")
    return _added(x, lambda y: outer(inner(y)), config, f"{name}_feed_forward")


def _added(x, function, config, name):
    """Returns x and what a half of a block makes of it, normalized after the sum or before the function."""
    dropout = Dropout(config.dropout)
    if not config.normalize_first:
        return _norm(f"{name}_norm")(layers.Add()([x, dropout(function(x))]))
    return layers.Add()([x, dropout(function(_norm(f"{name}_norm")(x)))])


def _norm(name):
    return LayerNormalization(epsilon=EPSILON, name=name)
