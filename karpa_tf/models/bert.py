"""BERT (Devlin et al. 2018): the encoder, and the heads for masked tokens, sentence pairs, and classes and tags."""

import keras
import keras_hub
from keras import layers, ops

from karpa_tf.layers.dropout import Dropout
from karpa_tf.layers.embeddings import Bias, SinePositionEncoding
from karpa_tf.layers.gelu import gelu
from karpa_tf.layers.initializers import compute_initial_stddev, make_initializer
from karpa_tf.layers.windows import MergeWindows, PoolWindows, SplitWindows
from karpa_tf.models.transformer import make_layer_norm, transformer_layer

HEAD = ("mlm_head_dense", "mlm_head_layer_norm", "logits")
"""Layers of `make_masked_lm` after the encoder."""


def make_encoder(config, vocabulary_size):
    """Returns a model of tokens to `features`, float (batch, length, hidden_dim).

    Inputs: `token_ids`, int32 (batch, length); `padding_mask`, bool (batch, length), False for padding; and, if
    `config.num_segments` is above 0, `segment_ids`, int32 (batch, length).

    Args:
        config: a `BERTConfig`. With learned position embeddings, sequences may have up to
            `config.max_sequence_length` tokens; otherwise any number.
        vocabulary_size: number of tokens in the vocabulary.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    if config.num_segments:
        inputs["segment_ids"] = keras.Input((None,), dtype="int32", name="segment_ids")
    return keras.Model(inputs, _encode(config, vocabulary_size, **inputs), name="encoder")


def _encode(config, vocabulary_size, token_ids, padding_mask, segment_ids=None):
    """Returns `features` of tokens in a functional graph, as `make_encoder` describes."""
    token_embedding = keras_hub.layers.ReversibleEmbedding(
        vocabulary_size,
        config.hidden_dim,
        embeddings_initializer=make_initializer(config.hidden_dim),
        name="token_embedding",
    )
    x = token_embedding(token_ids)
    if config.position_embedding == "learned":
        position_embedding = keras_hub.layers.PositionEmbedding(
            config.max_sequence_length, make_initializer(config.hidden_dim), name="position_embedding"
        )
        x = layers.Add()([x, position_embedding(x)])
    elif config.position_embedding == "sinusoidal":
        # Scaled to the standard deviation of the token embeddings, which are much smaller than 1.
        position_encoding = SinePositionEncoding(name="position_encoding")(x)
        x = layers.Add()([x, compute_initial_stddev(config.hidden_dim) * position_encoding])
    if config.num_segments:
        segment_embedding = layers.Embedding(
            config.num_segments, config.hidden_dim, make_initializer(config.hidden_dim), name="segment_embedding"
        )
        x = layers.Add()([x, segment_embedding(segment_ids)])
    if not config.normalize_first:
        x = make_layer_norm(config, "embeddings_layer_norm")(x)
    x = Dropout(config.dropout)(x)
    for index in range(config.num_layers):
        x = transformer_layer(x, padding_mask, config, f"transformer_layer_{index}")
    if config.normalize_first:
        x = make_layer_norm(config, "final_layer_norm")(x)
    return layers.Identity(name="features")(x)


def make_masked_lm(config, encoder):
    """Returns a model of tokens and positions to `logits`, float32 (batch, predictions, vocabulary_size).

    Inputs: those of the encoder, and `mask_positions`, int32 (batch, predictions), the positions to predict. The kernel
    of the output layer is the token embedding.

    Args:
        config: the `BERTConfig` of the encoder.
        encoder: the model from `make_encoder`; its weights are shared.
    """
    inputs = {tensor.name: tensor for tensor in encoder.inputs}
    mask_positions = inputs["mask_positions"] = keras.Input((None,), dtype="int32", name="mask_positions")
    x = ops.take_along_axis(encoder.output, ops.expand_dims(mask_positions, -1), axis=1)
    x = _dense(config.hidden_dim, config, "mlm_head_dense", gelu)(x)
    x = make_layer_norm(config, "mlm_head_layer_norm")(x)
    x = encoder.get_layer("token_embedding")(x, reverse=True)
    return keras.Model(inputs, Bias(dtype="float32", name="logits")(x), name="bert_masked_lm")


def make_pretraining(config, encoder):
    """Returns a model of tokens to `logits`, as `make_masked_lm`, and `is_next`, float32 (batch,), one logit per pair.

    `is_next` is high if the second segment follows the first; it is computed from the first token (Devlin et al. 2018,
    section 3.1), with a single logit instead of the paper's two.
    """
    masked_lm = make_masked_lm(config, encoder)
    x = _dense(config.hidden_dim, config, "first_token_dense", "tanh")(encoder.output[:, 0])
    x = _dense(1, config, "next_sentence_dense", dtype="float32")(x)
    outputs = {"logits": masked_lm.output, "is_next": layers.Reshape((), dtype="float32", name="is_next")(x)}
    return keras.Model({tensor.name: tensor for tensor in masked_lm.inputs}, outputs, name="pretraining")


def make_text_classifier(config, vocabulary_size, classes, window_length=None, separator_id=None):
    """Returns a model of tokens to `logits`, float32 (batch, classes).

    Inputs: `token_ids`, int32 (batch, length), and `padding_mask`, bool (batch, length), False for padding.

    The features are averaged over all tokens but padding (Reimers and Gurevych 2019). BERT uses those of the first
    token, but they represent the text only after pretraining with next-sentence prediction.

    Args:
        config: a `BERTConfig`.
        vocabulary_size: number of tokens in the vocabulary.
        classes: number of classes.
        window_length: if given, texts may be of any length: the encoder sees windows of so many tokens, which overlap
            by a quarter, and the features are averaged over all of them, each token once. Otherwise texts may have as
            many tokens as an encoder takes.
        separator_id: if given, texts are pairs, not in windows, and the tokens after the first one with this id are in
            segment 1; otherwise all are in segment 0.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    tokens = {"token_ids": token_ids, "padding_mask": padding_mask}
    if window_length:
        split = SplitWindows(window_length, window_length // 4, name="windows")
        tokens["token_ids"], tokens["padding_mask"], is_new, text_index = split(token_ids, padding_mask)
    if config.num_segments:
        segment_ids = ops.zeros_like(tokens["token_ids"])
        if separator_id is not None:
            is_separator = ops.cast(ops.equal(token_ids, separator_id), "int32")
            segment_ids = ops.minimum(ops.cumsum(is_separator, axis=1) - is_separator, 1)
        tokens["segment_ids"] = segment_ids
    x = _encode(config, vocabulary_size, **tokens)
    if window_length:
        x = PoolWindows(name="mean_pooling")(x, is_new, text_index, token_ids)
    else:
        x = layers.GlobalAveragePooling1D(dtype="float32", name="mean_pooling")(x, mask=padding_mask)
    x = _dense(config.hidden_dim, config, "pooled_dense", "tanh")(x)
    x = Dropout(config.dropout)(x)
    logits = _dense(classes, config, "logits", dtype="float32")(x)
    return keras.Model({"token_ids": token_ids, "padding_mask": padding_mask}, logits, name="bert_text_classifier")


def make_text_regressor(config, vocabulary_size, mean, stddev, **options):
    """Returns a model of tokens to `value`, float32 (batch, 1): that of `make_text_classifier` with one logit, scaled.

    Args:
        config: a `BERTConfig`.
        vocabulary_size: number of tokens in the vocabulary.
        mean: what is added to the output, the mean of the training targets.
        stddev: what the output is multiplied by, their standard deviation.
        **options: `window_length` and `separator_id` of `make_text_classifier`.
    """
    model = make_text_classifier(config, vocabulary_size, 1, **options)
    value = layers.Rescaling(stddev, mean, dtype="float32", name="value")(model.output)
    return keras.Model({tensor.name: tensor for tensor in model.inputs}, value, name="bert_text_regressor")


def make_tagger(config, vocabulary_size, tags, window_length=None):
    """Returns a model of tokens and words to `logits`, float32 (batch, words, tags).

    Inputs: `token_ids`, int32 (batch, length); `padding_mask`, bool (batch, length), False for padding; and
    `word_positions`, int32 (batch, words), the index of the first token of every word, which stands for the word
    (Devlin et al. 2018, section 5.3).

    Args:
        config: a `BERTConfig`.
        vocabulary_size: number of tokens in the vocabulary.
        tags: number of tags.
        window_length: as for `make_text_classifier`; the features are those of `MergeWindows`.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    word_positions = keras.Input((None,), dtype="int32", name="word_positions")
    tokens = {"token_ids": token_ids, "padding_mask": padding_mask}
    if window_length:
        split = SplitWindows(window_length, window_length // 4, name="windows")
        tokens["token_ids"], tokens["padding_mask"], _, text_index = split(token_ids, padding_mask)
    if config.num_segments:
        tokens["segment_ids"] = ops.zeros_like(tokens["token_ids"])
    x = _encode(config, vocabulary_size, **tokens)
    if window_length:
        x = MergeWindows(window_length // 4, name="merged")(x, tokens["padding_mask"], text_index, padding_mask)
    x = ops.take_along_axis(x, ops.expand_dims(word_positions, -1), axis=1)
    x = Dropout(config.dropout)(x)
    logits = _dense(tags, config, "logits", dtype="float32")(x)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask, "word_positions": word_positions}
    return keras.Model(inputs, logits, name="bert_tagger")


def make_embedder(config, vocabulary_size, window_length=None):
    """Returns a model of tokens to `embedding`, float32 (batch, hidden_dim), the mean of the features, of unit length.

    Inputs and arguments are those of `make_text_classifier`.
    """
    model = make_text_classifier(config, vocabulary_size, 1, window_length)
    mean = model.get_layer("mean_pooling").output
    embedding = layers.UnitNormalization(dtype="float32", name="embedding")(mean)
    return keras.Model({tensor.name: tensor for tensor in model.inputs}, embedding, name="bert_embedder")


def extract_encoder(model):
    """Returns the encoder of a model of this file: tokens to `features`. Its weights are shared."""
    return _extract(model, "features", excluded_inputs=("mask_positions",))


def extract_masked_lm(model):
    """Returns the masked language model of a model from `make_pretraining` or `make_masked_lm`, with shared weights."""
    return _extract(model, "logits")


def _extract(model, output_layer, excluded_inputs=()):
    inputs = {tensor.name: tensor for tensor in model.inputs if tensor.name not in excluded_inputs}
    return keras.Model(inputs, model.get_layer(output_layer).output, name=output_layer)


def _dense(units, config, name, activation=None, **options):
    initializer = make_initializer(config.hidden_dim)
    return layers.Dense(units, activation, kernel_initializer=initializer, name=name, **options)
