"""A text classifier as a SavedModel: from text."""

import numpy as np
import tensorflow as tf

from karpa_tf.export.versions import publish
from karpa_tf.text.tokenizer import WordPiece

CHECKED = ("A good text.", "", "bad [MASK] " * 50)
"""Texts on which an export is compared with its model."""


def export_text_classifier(model, vocabulary, length, classes, base):
    """Publishes the next version of a text classifier below `base` and returns its folder.

    Its signature, serving_default, takes `text`, string (batch,), cut to the first `length` - 2 tokens, and gives
    `classes`, string (batch, classes), the same in every row, and `scores`, float32 (batch, classes), probabilities in
    that order.

    Args:
        model: what `make_text_classifier` returned.
        vocabulary: its `Vocabulary`.
        length: tokens in a row at most, [CLS] and [SEP] included.
        classes: their names, in the order of the logits.
        base: folder of the model's versions.
    """
    functions, tokenizer = text_classifier_functions(model, vocabulary, length, classes)

    def check(signatures):
        texts = tf.constant(CHECKED)
        served = signatures["serving_default"](text=texts)
        np.testing.assert_allclose(served["scores"], functions["serving_default"](texts)["scores"], atol=1e-5)

    return publish(base, functions, [model, tokenizer], check)


def text_classifier_functions(model, vocabulary, length, classes):
    """Returns the functions of the signatures by name, as `export_text_classifier` describes them, and tokenizer."""
    tokenizer = WordPiece(vocabulary)
    names = tf.constant(list(classes))
    inputs = [tensor.name for tensor in model.inputs]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def from_text(text):
        token_ids, padding_mask = tokenizer.packed(text, length)
        found = {"token_ids": token_ids, "padding_mask": padding_mask, "segment_ids": tf.zeros_like(token_ids)}
        logits = model({name: found[name] for name in inputs}, training=False)
        scores = tf.nn.softmax(tf.cast(logits, tf.float32))
        return {"classes": tf.tile(names[None], [tf.shape(scores)[0], 1]), "scores": scores}

    return {"serving_default": from_text}, tokenizer
