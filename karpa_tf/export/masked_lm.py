"""A masked language model as a SavedModel: from text, from token ids, and text to vectors."""

import numpy as np
import tensorflow as tf

from karpa_tf.export.versions import publish
from karpa_tf.models.bert import encoder_of, masked_lm_of
from karpa_tf.text.tokenizer import WordPiece
from karpa_tf.text.vocabulary import MASK, PAD

TOP = 10
"""Tokens that are named for every [MASK]."""

CHECKED = ("The [MASK] of a list.", "no blank", "", "[MASK] [MASK]!")
"""Texts on which an export is compared with its model."""


def export_masked_lm(model, vocabulary, length, base):
    """Publishes the next version of a masked language model below `base` and returns its folder.

    Signatures; a text is cut to its first `length` - 2 tokens:
        serving_default: `text`, string (batch,), with [MASK] for every blank, to `tokens`, string (batch, blanks, k),
            the likeliest first, `scores`, float32 (batch, blanks, k), their probabilities, and `positions`, int32
            (batch, blanks), their places among the text's tokens, [CLS] being 0. A text with fewer blanks than another
            has empty tokens, scores of 0 and positions of -1 at the end.
        token_ids: `token_ids`, int32 (batch, any), 0 is padding, and `mask_positions`, int32 (batch, predictions), to
            `logits`, float32 (batch, predictions, vocabulary).
        embed: `text`, string (batch,), to `embedding`, float32 (batch, width), the mean of its tokens' features.

    Args:
        model: what `make_masked_lm` or `make_pretraining` returned.
        vocabulary: its `Vocabulary`.
        length: tokens in a row at most, [CLS] and [SEP] included.
        base: folder of the model's versions.
    """
    functions, tokenizer = masked_lm_functions(model, vocabulary, length)

    def check(signatures):
        texts = tf.constant(CHECKED)
        for name in ("serving_default", "embed"):
            expected = functions[name](texts)
            for key, value in signatures[name](text=texts).items():
                if value.dtype == tf.string:
                    np.testing.assert_array_equal(value, expected[key])
                else:
                    np.testing.assert_allclose(value, expected[key], atol=1e-5)

    return publish(base, functions, [model, tokenizer], check)


def masked_lm_functions(model, vocabulary, length):
    """Returns the functions of the signatures by name, as `export_masked_lm` describes them, and the tokenizer."""
    tokenizer = WordPiece(vocabulary, read_mask=True)
    masked_lm, encoder = masked_lm_of(model), encoder_of(model)
    has_segments = any(tensor.name == "segment_ids" for tensor in model.inputs)
    names = tf.constant(list(vocabulary.tokens))
    mask, padding = (vocabulary.tokens.index(name) for name in (MASK, PAD))

    def inputs_of(token_ids):
        inputs = {"token_ids": token_ids, "padding_mask": token_ids != padding}
        return inputs | ({"segment_ids": tf.zeros_like(token_ids)} if has_segments else {})

    def logits_at(token_ids, positions):
        logits = masked_lm(inputs_of(token_ids) | {"mask_positions": positions}, training=False)
        return tf.cast(logits, tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def from_text(text):
        token_ids, _ = tokenizer.packed(text, length)
        places = tf.cast(tf.where(token_ids == mask), tf.int32)  # (blanks, 2): row and column
        rows = tf.RaggedTensor.from_value_rowids(places[:, 1], places[:, 0], tf.shape(token_ids)[0])
        positions = rows.to_tensor(-1)  # (batch, blanks)
        scores = tf.nn.softmax(logits_at(token_ids, tf.maximum(positions, 0)))
        scores, best = tf.math.top_k(scores, min(TOP, len(vocabulary)))
        is_blank = (positions >= 0)[..., None]
        return {
            "tokens": tf.where(is_blank, tf.gather(names, best), ""),
            "scores": tf.where(is_blank, scores, 0.0),
            "positions": positions,
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None), tf.int32, name="token_ids"),
            tf.TensorSpec((None, None), tf.int32, name="mask_positions"),
        ]
    )
    def from_ids(token_ids, mask_positions):
        return {"logits": logits_at(token_ids, mask_positions)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def embed(text):
        token_ids, real = tokenizer.packed(text, length)
        features = tf.cast(encoder(inputs_of(token_ids), training=False), tf.float32)
        weights = tf.cast(real, tf.float32)[..., None]
        return {"embedding": tf.reduce_sum(features * weights, axis=1) / tf.reduce_sum(weights, axis=1)}

    return {"serving_default": from_text, "token_ids": from_ids, "embed": embed}, tokenizer
