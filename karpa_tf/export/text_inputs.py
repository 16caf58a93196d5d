"""What SavedModels that read whole texts, or pairs of texts, have in common: inputs, requests and examples."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.data.text.tokenizer import WordPiece
from karpa_tf.data.text.vocabulary import PAD
from karpa_tf.export.compatibility import VOCABULARY, format_lines

SYNTHETIC_TEXTS = ("A good text.", "", "bad [MASK] " * 50, "Zürich, cafe\u0301 日本 " * 20, " \t")
"""Texts on which every exported model is compared with the original."""

MAX_CHARACTERS = 100
"""Maximum length of the example in the model card."""


def list_names(has_pairs):
    """Returns the names of the inputs of signatures for texts, or for pairs of texts, a list."""
    return ["text", "text_pair"] if has_pairs else ["text"]


class TextInputs:
    """The inputs of signatures for texts: `text`, and for pairs `text_pair`, string (batch,).

    Args:
        vocabulary: a `Vocabulary`.
        max_tokens: maximum number of tokens of a text, or of both texts of a pair, [CLS] and [SEP] among them.
        has_pairs: whether texts come in pairs.
    """

    def __init__(self, vocabulary, max_tokens, has_pairs=False):
        self.vocabulary, self.max_tokens = vocabulary, max_tokens
        self.tokenizer = WordPiece(vocabulary)
        self.names = tuple(list_names(has_pairs))

    def make_function(self, compute):
        """Returns a `tf.function` of texts from a function of token ids and mask, (batch, length), to a dict."""

        def from_text(text):
            return compute(*self._pack(text))

        def from_pair(text, text_pair):
            return compute(*self._pack(text, text_pair))

        signature = [tf.TensorSpec((None,), tf.string, name=name) for name in self.names]
        function = from_text if len(self.names) == 1 else from_pair
        return tf.function(function, autograph=False, input_signature=signature)

    def make_function_of_ids(self, compute):
        """Returns a `tf.function` of `token_ids`, int32 (batch, length), 0 is padding, for formats without strings."""

        @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None), tf.int32, name="token_ids")])
        def from_ids(token_ids):
            return compute(token_ids, token_ids != self.tokenizer.special[PAD])

        return from_ids

    def describe(self, texts):
        """Returns fields of an `Export` that do not depend on the outputs, a dict.

        Args:
            texts: examples of real data, strings or pairs of them; or None.
        """
        request = self._make_request(texts or SYNTHETIC_TEXTS[:1])
        token_ids = self._pack(*map(tf.constant, request.values()))[0].numpy()
        return {
            "tracked": (self.tokenizer,),
            "examples": {"serving_default": [request, {name: array[:1] for name, array in request.items()}]},
            "real_examples": bool(texts),
            "edge_cases": {"serving_default": [self._make_request(SYNTHETIC_TEXTS)]},
            "convertible_examples": [{"token_ids": token_ids}, {"token_ids": token_ids[:1]}],
        }

    def files(self):
        """Returns the text files of an `Export`, a dict."""
        return {VOCABULARY: format_lines(self.vocabulary.tokens)}

    def details(self, texts):
        """Returns what the model card has in its details, a dict."""
        return {
            "inputs": list(self.names),
            "length": self.max_tokens,
            "vocabulary_size": len(self.vocabulary),
            "lowercase": self.vocabulary.lowercase,
            "strip_accents": self.vocabulary.strip_accents,
            "example": self._select_example(texts)[0],
        }

    def format_call(self, texts):
        """Returns the arguments of a call in Python and the body of a REST request, for one of some texts or None."""
        values = [json.dumps(text, ensure_ascii=False) for text in self._select_example(texts)]
        python = ", ".join(f"{name}=tf.constant([{value}])" for name, value in zip(self.names, values, strict=True))
        fields = [f'"{name}": {value}' for name, value in zip(self.names, values, strict=True)]
        in_shell = ", ".join(fields).replace("'", "\\u0027")
        return python, f'"instances": [{{{in_shell}}}]'

    def _select_example(self, texts):
        row = self._complete((texts or SYNTHETIC_TEXTS)[0])
        return [str(text)[:MAX_CHARACTERS] for text in row]

    def _make_request(self, texts):
        columns = zip(*map(self._complete, texts), strict=True)
        return {name: np.array(column, object) for name, column in zip(self.names, columns, strict=True)}

    def _complete(self, row):
        """Returns a text, or a pair of texts, as a list with one for each input."""
        row = [row] if isinstance(row, str) else list(row)
        return [*row, *SYNTHETIC_TEXTS[: len(self.names) - len(row)]]

    def _pack(self, *texts):
        pack = self.tokenizer.pack if len(texts) == 1 else self.tokenizer.pack_pairs
        return pack(*texts, self.max_tokens)
