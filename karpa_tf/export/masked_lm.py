"""SavedModels of masked language models, with signatures for filling masks, for token ids and for embeddings."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.data.text.tokenizer import WordPiece
from karpa_tf.data.text.vocabulary import MASK, PAD
from karpa_tf.export.compatibility import VOCABULARY, format_lines
from karpa_tf.export.versions import Call, Export
from karpa_tf.models.bert import extract_encoder, extract_masked_lm

TOP_K = 10
"""Number of tokens predicted for each [MASK]."""

SYNTHETIC_TEXTS = ("The [MASK] of a list.", "no blank", "", "[MASK] [MASK]!")
"""Texts on which every exported model is compared with the original."""

MAX_MASK_INDEX = 5
"""Index of the word that is masked in an example; in a shorter text it is the middle word."""


def make_masked_lm_export(model, vocabulary, sequence_length, texts=None, *, task):
    """Returns the `Export` of a masked language model.

    Texts are truncated to `sequence_length` - 2 tokens. The signatures are:
        serving_default: `text`, string (batch,), with [MASK] for every token to predict, to `tokens`, string (batch,
            masks, k), the most probable first, `scores`, float32 (batch, masks, k), their probabilities, and
            `positions`, int32 (batch, masks), the indices of the masks among the tokens of the text, where [CLS] is 0.
            Texts with fewer masks than others are padded with empty tokens, scores of 0 and positions of -1.
        token_ids: `token_ids`, int32 (batch, length), 0 is padding, and `mask_positions`, int32 (batch, predictions),
            to `logits`, float32 (batch, predictions, vocabulary_size).
        embed: `text`, string (batch,), to `embedding`, float32 (batch, hidden_dim), the mean over the outputs of the
            encoder for its tokens.

    Args:
        model: model from `make_masked_lm` or `make_pretraining`.
        vocabulary: its `Vocabulary`.
        sequence_length: maximum number of tokens, including [CLS] and [SEP].
        texts: examples of real data, of which one word is masked; or None.
        task: name of the task, for the model card.
    """
    functions, tokenizer = make_masked_lm_functions(model, vocabulary, sequence_length)
    masked = [mask_one_word(text) for text in texts] if texts else list(SYNTHETIC_TEXTS[:1])
    token_id_requests = _make_token_id_requests(functions, tokenizer, masked, sequence_length)
    edge_cases = [{"text": np.array(SYNTHETIC_TEXTS, object)}]
    return Export(
        task=task,
        form="masked_text",
        functions=functions,
        tracked=(tokenizer,),
        examples={
            "serving_default": _make_text_requests(masked),
            "token_ids": token_id_requests,
            "embed": _make_text_requests(list(texts or SYNTHETIC_TEXTS[1:2])),
        },
        real_examples=bool(texts),
        edge_cases={"serving_default": edge_cases, "embed": edge_cases},
        convertible=functions["token_ids"],
        convertible_examples=token_id_requests,
        files={VOCABULARY: format_lines(vocabulary.tokens)},
        details={
            "length": sequence_length,
            "vocabulary_size": len(vocabulary),
            "lowercase": vocabulary.lowercase,
            "strip_accents": vocabulary.strip_accents,
            "example": masked[0],
        },
        about=f"This model predicts masked tokens in a text, from a vocabulary of {len(vocabulary):,} tokens.",
        limits=(
            f"Texts are truncated to {sequence_length - 2} tokens; masks after that are ignored.",
            "It reproduces its training text, including errors and prejudices, and has no other source of knowledge.",
            "It is a starting point for other tasks, such as text classification; it does not generate text.",
        ),
        calls=_make_calls(masked[0]),
    )


def mask_one_word(text):
    """Returns a text with one word replaced by [MASK], unless it has a [MASK] already."""
    words = text.split()
    if MASK in text or not words:
        return text
    words[min(len(words) // 2, MAX_MASK_INDEX)] = MASK
    return " ".join(words)


def _make_text_requests(texts):
    array = np.array(texts, object)
    return [{"text": array}, {"text": array[:1]}]


def _make_token_id_requests(functions, tokenizer, texts, sequence_length):
    """Returns requests to `token_ids` for the masks of texts."""
    token_ids, _ = tokenizer.pack(tf.constant(texts), sequence_length)
    positions = functions["serving_default"](tf.constant(texts))["positions"]
    request = {"token_ids": token_ids.numpy(), "mask_positions": np.maximum(positions, 0)}
    return [request, {name: array[:1] for name, array in request.items()}]


def _make_calls(example):
    text = json.dumps(example, ensure_ascii=False)
    text_in_shell = text.replace("'", "\\u0027")
    return {
        "serving_default": Call(
            f"`text` has [MASK] for every token to predict. `tokens` are the {TOP_K} most probable for each mask, the "
            "best first, `scores` their probabilities, and `positions` the indices of the masks among the tokens of "
            "the text, where [CLS] is 0. Texts with fewer masks than others are padded with empty tokens, scores of 0 "
            "and positions of -1.",
            f"text=tf.constant([{text}])",
            f'"instances": [{{"text": {text_in_shell}}}]',
        ),
        "token_ids": Call(
            "Token ids are line numbers of vocabulary.txt, counted from 0: 0 is padding, 2 [CLS], 3 [SEP], 4 [MASK]. "
            "`logits` are over the vocabulary, at each of `mask_positions`.",
            "token_ids=tf.constant([[2, 4, 3]]), mask_positions=tf.constant([[1]])",
            '"instances": [{"token_ids": [2, 4, 3], "mask_positions": [1]}]',
        ),
        "embed": Call(
            "`embedding` is the mean over the outputs of the encoder for the tokens of the text.",
            f"text=tf.constant([{text}])",
            f'"instances": [{{"text": {text_in_shell}}}]',
        ),
    }


def make_masked_lm_functions(model, vocabulary, sequence_length):
    """Returns the functions of the signatures by name, see `make_masked_lm_export`, and the tokenizer."""
    tokenizer = WordPiece(vocabulary, read_mask=True)
    masked_lm, encoder = extract_masked_lm(model), extract_encoder(model)
    has_segments = any(tensor.name == "segment_ids" for tensor in model.inputs)
    tokens = tf.constant(list(vocabulary.tokens))
    mask, padding = (vocabulary.tokens.index(name) for name in (MASK, PAD))

    def make_inputs(token_ids):
        inputs = {"token_ids": token_ids, "padding_mask": token_ids != padding}
        return inputs | ({"segment_ids": tf.zeros_like(token_ids)} if has_segments else {})

    def compute_logits(token_ids, positions):
        logits = masked_lm(make_inputs(token_ids) | {"mask_positions": positions}, training=False)
        return tf.cast(logits, tf.float32)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def from_text(text):
        token_ids, _ = tokenizer.pack(text, sequence_length)
        indices = tf.cast(tf.where(token_ids == mask), tf.int32)  # (masks in the batch, 2): row and column
        rows = tf.RaggedTensor.from_value_rowids(indices[:, 1], indices[:, 0], tf.shape(token_ids)[0])
        positions = rows.to_tensor(-1)  # (batch, masks)
        scores = tf.nn.softmax(compute_logits(token_ids, tf.maximum(positions, 0)))
        scores, best = tf.math.top_k(scores, min(TOP_K, len(vocabulary)))
        is_mask = (positions >= 0)[..., None]
        return {
            "tokens": tf.where(is_mask, tf.gather(tokens, best), ""),
            "scores": tf.where(is_mask, scores, 0.0),
            "positions": positions,
        }

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, None), tf.int32, name="token_ids"),
            tf.TensorSpec((None, None), tf.int32, name="mask_positions"),
        ],
    )
    def from_ids(token_ids, mask_positions):
        return {"logits": compute_logits(token_ids, mask_positions)}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def embed(text):
        token_ids, padding_mask = tokenizer.pack(text, sequence_length)
        features = tf.cast(encoder(make_inputs(token_ids), training=False), tf.float32)
        weights = tf.cast(padding_mask, tf.float32)[..., None]
        return {"embedding": tf.reduce_sum(features * weights, axis=1) / tf.reduce_sum(weights, axis=1)}

    return {"serving_default": from_text, "token_ids": from_ids, "embed": embed}, tokenizer
