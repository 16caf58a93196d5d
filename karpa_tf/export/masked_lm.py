"""A masked language model as a SavedModel: from text, from token ids, and text to vectors."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.data.text.tokenizer import WordPiece
from karpa_tf.data.text.vocabulary import MASK, PAD
from karpa_tf.export.versions import Call, Export
from karpa_tf.models.bert import extract_encoder, extract_masked_lm

TOP = 10
"""Tokens that are named for every [MASK]."""

BLANK = "[MASK]"

MADE_UP = ("The [MASK] of a list.", "no blank", "", "[MASK] [MASK]!")
"""Texts on which an export is compared with its model, whatever it has learned from."""

EARLY = 5
"""Word of an example that becomes a blank; of a shorter one it is that in the middle."""


def make_masked_lm_export(model, vocabulary, length, sentences=None):
    """Returns the `Export` of a masked language model.

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
        sentences: examples from real data, of which one word becomes a blank; or None.
    """
    functions, tokenizer = masked_lm_functions(model, vocabulary, length)
    blanks = [mask_one_word(sentence) for sentence in sentences] if sentences else list(MADE_UP[:1])
    ids = _ids(functions, tokenizer, blanks, length)
    texts = np.array(blanks, object)
    plain = np.array(list(sentences or MADE_UP[1:2]), object)
    odd = [{"text": np.array(MADE_UP, object)}]
    return Export(
        task="masked_lm",
        functions=functions,
        tracked=(tokenizer,),
        examples={
            "serving_default": [{"text": texts}, {"text": texts[:1]}],
            "token_ids": ids,
            "embed": [{"text": plain}, {"text": plain[:1]}],
        },
        real_examples=bool(sentences),
        edge_cases={"serving_default": odd, "embed": odd},
        convertible=functions["token_ids"],
        convertible_examples=ids,
        files={"vocabulary.txt": "".join(f"{token}\n" for token in vocabulary.tokens)},
        details={
            "length": length,
            "vocabulary_size": len(vocabulary),
            "lowercase": vocabulary.lowercase,
            "strip_accents": vocabulary.strip_accents,
            "example": blanks[0],
        },
        about=f"It guesses words that are left out of a text, from a vocabulary of {len(vocabulary):,} tokens.",
        limits=(
            f"A text is cut to {length - 2} tokens; blanks behind that are not answered.",
            "It repeats what its training text says, its errors and prejudices included; it knows nothing else.",
            "It is a start for other tasks, such as telling texts apart; it does not write text.",
        ),
        calls=_calls(blanks[0]),
    )


def mask_one_word(sentence):
    """Returns a sentence with one word as [MASK], unless it has a [MASK] already."""
    words = sentence.split()
    if BLANK in sentence or not words:
        return sentence
    words[min(len(words) // 2, EARLY)] = BLANK
    return " ".join(words)


def _ids(functions, tokenizer, texts, length):
    """Returns requests to `token_ids` that ask for the blanks of texts."""
    token_ids, _ = tokenizer.packed(tf.constant(texts), length)
    positions = functions["serving_default"](tf.constant(texts))["positions"]
    request = {"token_ids": token_ids.numpy(), "mask_positions": np.maximum(positions, 0)}
    return [request, {name: array[:1] for name, array in request.items()}]


def _calls(example):
    text = json.dumps(example, ensure_ascii=False)
    return {
        "serving_default": Call(
            f"`text` has [MASK] for every blank. `tokens` are the {TOP} likeliest of each blank, the best first, "
            "`scores` their probabilities, `positions` their places among the text's tokens, [CLS] being 0. A text "
            "with fewer blanks than another has empty tokens, scores of 0 and positions of -1 at the end.",
            f"text=tf.constant([{text}])",
            f'"instances": [{{"text": {_in_shell(text)}}}]',
        ),
        "token_ids": Call(
            "Ids are lines of vocabulary.txt, counted from 0: 0 is padding, 2 [CLS], 3 [SEP], 4 [MASK]. `logits` are "
            "those of the vocabulary at each of `mask_positions`.",
            "token_ids=tf.constant([[2, 4, 3]]), mask_positions=tf.constant([[1]])",
            '"instances": [{"token_ids": [2, 4, 3], "mask_positions": [1]}]',
        ),
        "embed": Call(
            "The mean of the features of a text's tokens.",
            f"text=tf.constant([{text}])",
            f'"instances": [{{"text": {_in_shell(text)}}}]',
        ),
    }


def _in_shell(text):
    return text.replace("'", "\\u0027")


def masked_lm_functions(model, vocabulary, length):
    """Returns the signatures' functions by name, as `make_masked_lm_export` describes them, and the tokenizer."""
    tokenizer = WordPiece(vocabulary, read_mask=True)
    masked_lm, encoder = extract_masked_lm(model), extract_encoder(model)
    has_segments = any(tensor.name == "segment_ids" for tensor in model.inputs)
    names = tf.constant(list(vocabulary.tokens))
    mask, padding = (vocabulary.tokens.index(name) for name in (MASK, PAD))

    def select_inputs(token_ids):
        inputs = {"token_ids": token_ids, "padding_mask": token_ids != padding}
        return inputs | ({"segment_ids": tf.zeros_like(token_ids)} if has_segments else {})

    def logits_at(token_ids, positions):
        logits = masked_lm(select_inputs(token_ids) | {"mask_positions": positions}, training=False)
        return tf.cast(logits, tf.float32)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
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
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, None), tf.int32, name="token_ids"),
            tf.TensorSpec((None, None), tf.int32, name="mask_positions"),
        ],
    )
    def from_ids(token_ids, mask_positions):
        return {"logits": logits_at(token_ids, mask_positions)}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def embed(text):
        token_ids, real = tokenizer.packed(text, length)
        features = tf.cast(encoder(select_inputs(token_ids), training=False), tf.float32)
        weights = tf.cast(real, tf.float32)[..., None]
        return {"embedding": tf.reduce_sum(features * weights, axis=1) / tf.reduce_sum(weights, axis=1)}

    return {"serving_default": from_text, "token_ids": from_ids, "embed": embed}, tokenizer
