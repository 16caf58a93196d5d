"""SavedModels of text classifiers, with a signature for text."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.data.text.tokenizer import WordPiece
from karpa_tf.data.text.vocabulary import PAD
from karpa_tf.export.compatibility import LABELS, VOCABULARY, format_lines
from karpa_tf.export.versions import Call, Export

SYNTHETIC_TEXTS = ("A good text.", "", "bad [MASK] " * 50)
"""Texts on which every exported model is compared with the original."""

MAX_CHARACTERS = 100
"""Maximum length of the example in the model card."""


def make_text_classifier_export(model, vocabulary, max_tokens, classes, texts=None, *, task):
    """Returns the `Export` of a text classifier.

    Its only signature, serving_default, takes `text`, string (batch,), truncated to `max_tokens` - 2 tokens, and
    returns `classes`, string (batch, classes), the same in every row, and `scores`, float32 (batch, classes),
    probabilities in this order.

    Args:
        model: model from `make_text_classifier`.
        vocabulary: its `Vocabulary`.
        max_tokens: maximum number of tokens of a text, including [CLS] and [SEP].
        classes: class names in the order of the logits.
        texts: examples of real data, or None.
        task: name of the task, for the model card.
    """
    functions, from_ids, tokenizer = make_text_classifier_functions(model, vocabulary, max_tokens, classes)
    has_examples = bool(texts)
    texts = np.array(list(texts or SYNTHETIC_TEXTS[:1]), object)
    token_ids, _ = tokenizer.pack(tf.constant(texts), max_tokens)
    example = str(texts[0])[:MAX_CHARACTERS]
    text = json.dumps(example, ensure_ascii=False)
    text_in_shell = text.replace("'", "\\u0027")
    return Export(
        task=task,
        form="text",
        functions=functions,
        tracked=(tokenizer,),
        examples={"serving_default": [{"text": texts}, {"text": texts[:1]}]},
        real_examples=has_examples,
        edge_cases={"serving_default": [{"text": np.array(SYNTHETIC_TEXTS, object)}]},
        convertible=from_ids,
        convertible_examples=[{"token_ids": token_ids.numpy()}, {"token_ids": token_ids[:1].numpy()}],
        files={
            LABELS: format_lines(classes),
            VOCABULARY: format_lines(vocabulary.tokens),
        },
        details={
            "classes": list(classes),
            "length": max_tokens,
            "vocabulary_size": len(vocabulary),
            "lowercase": vocabulary.lowercase,
            "strip_accents": vocabulary.strip_accents,
            "example": example,
        },
        about=f"This model classifies texts into {len(classes)} classes and returns a probability for each.",
        limits=(
            f"It knows its {len(classes)} classes only; a text of any other kind is assigned to one of them too.",
            f"Texts are truncated to {max_tokens - 2:,} tokens.",
            "The accuracy on texts unlike those of its data set was not measured.",
        ),
        calls={
            "serving_default": Call(
                "`classes` are the names of the columns of `scores`, which are probabilities.",
                f"text=tf.constant([{text}])",
                f'"instances": [{{"text": {text_in_shell}}}]',
            )
        },
    )


def make_text_classifier_functions(model, vocabulary, max_tokens, classes):
    """Returns the functions of the signatures by name, a function of token ids, and the tokenizer.

    For the signatures see `make_text_classifier_export`. The function of token ids is for formats without strings: it
    maps `token_ids`, int32 (batch, length), 0 is padding, to `scores`.
    """
    tokenizer = WordPiece(vocabulary)
    names = tf.constant(list(classes))

    def compute_scores(token_ids, padding_mask):
        logits = model({"token_ids": token_ids, "padding_mask": padding_mask}, training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def from_text(text):
        scores = compute_scores(*tokenizer.pack(text, max_tokens))
        return {"classes": tf.tile(names[None], [tf.shape(scores)[0], 1]), "scores": scores}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None), tf.int32, name="token_ids")])
    def from_ids(token_ids):
        return {"scores": compute_scores(token_ids, token_ids != tokenizer.special[PAD])}

    return {"serving_default": from_text}, from_ids, tokenizer
