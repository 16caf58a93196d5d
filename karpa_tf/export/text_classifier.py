"""A text classifier as a SavedModel: from text."""

import keras
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
    function, tracked = text_classifier_function(model, vocabulary, length, classes)

    def save(path):
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.track(tracked)
        archive.add_endpoint("serving_default", function)
        archive.write_out(path, verbose=False)

    def check(path):
        texts = tf.constant(CHECKED)
        served = tf.saved_model.load(path).signatures["serving_default"](text=texts)
        np.testing.assert_allclose(served["scores"], function(texts)["scores"], atol=1e-5)

    return publish(base, save, check)


def text_classifier_function(model, vocabulary, length, classes):
    """Returns the signature's function, as `export_text_classifier` describes it, and what it looks up."""
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

    return from_text, tokenizer
