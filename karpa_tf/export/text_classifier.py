"""A text classifier as a SavedModel: from text."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.data.text.tokenizer import WordPiece
from karpa_tf.data.text.vocabulary import PAD
from karpa_tf.export.versions import Call, Export

MADE_UP = ("A good text.", "", "bad [MASK] " * 50)
"""Texts on which an export is compared with its model, whatever it has learned from."""

SHOWN = 100
"""Characters of an example that people are shown."""


def make_text_classifier_export(model, vocabulary, length, classes, texts=None):
    """Returns the `Export` of a text classifier.

    Its signature, serving_default, takes `text`, string (batch,), cut to the first `length` - 2 tokens, and gives
    `classes`, string (batch, classes), the same in every row, and `scores`, float32 (batch, classes), probabilities in
    that order.

    Args:
        model: what `make_text_classifier` returned.
        vocabulary: its `Vocabulary`.
        length: tokens in a row at most, [CLS] and [SEP] included.
        classes: their names, in the order of the logits.
        texts: examples from real data, or None.
    """
    functions, from_ids, tokenizer = text_classifier_functions(model, vocabulary, length, classes)
    real, texts = bool(texts), np.array(list(texts or MADE_UP[:1]), object)
    ids = tokenizer.packed(tf.constant(texts), length)[0].numpy()
    example = str(texts[0])[:SHOWN]
    text = json.dumps(example, ensure_ascii=False)
    return Export(
        task="text_classification",
        functions=functions,
        tracked=(tokenizer,),
        examples={"serving_default": [{"text": texts}, {"text": texts[:1]}]},
        real_examples=real,
        edge_cases={"serving_default": [{"text": np.array(MADE_UP, object)}]},
        convertible=from_ids,
        convertible_examples=[{"token_ids": ids}, {"token_ids": ids[:1]}],
        files={
            "labels.txt": "".join(f"{name}\n" for name in classes),
            "vocabulary.txt": "".join(f"{token}\n" for token in vocabulary.tokens),
        },
        details={
            "classes": list(classes),
            "length": length,
            "vocabulary_size": len(vocabulary),
            "lowercase": vocabulary.lowercase,
            "strip_accents": vocabulary.strip_accents,
            "example": example,
        },
        about=f"It says to which of {len(classes)} classes a text belongs, with a probability for each.",
        limits=(
            f"It knows {len(classes)} classes and nothing else; a text of another kind gets one of them too.",
            f"A text is cut to its first {length - 2} tokens.",
            "How it does on texts unlike those of its data was not measured.",
        ),
        calls={
            "serving_default": Call(
                "`classes` names the columns of `scores`, which are probabilities.",
                f"text=tf.constant([{text}])",
                f'"instances": [{{"text": {text.replace(chr(39), chr(92) + "u0027")}}}]',
            )
        },
    )


def text_classifier_functions(model, vocabulary, length, classes):
    """Returns the functions of the signatures by name, a function of token ids alone, and the tokenizer.

    The signatures are as `make_text_classifier_export` describes them. The other function takes `token_ids`, int32
    (batch, any), 0 is padding, and gives `scores`: for formats that know no strings.
    """
    tokenizer = WordPiece(vocabulary)
    names = tf.constant(list(classes))
    inputs = [tensor.name for tensor in model.inputs]

    def scores_of(token_ids, padding_mask):
        found = {"token_ids": token_ids, "padding_mask": padding_mask, "segment_ids": tf.zeros_like(token_ids)}
        logits = model({name: found[name] for name in inputs}, training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def from_text(text):
        scores = scores_of(*tokenizer.packed(text, length))
        return {"classes": tf.tile(names[None], [tf.shape(scores)[0], 1]), "scores": scores}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None), tf.int32, name="token_ids")])
    def from_ids(token_ids):
        return {"scores": scores_of(token_ids, token_ids != tokenizer.special[PAD])}

    return {"serving_default": from_text}, from_ids, tokenizer
