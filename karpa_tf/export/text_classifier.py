"""SavedModels of text classifiers, with a signature for text, or for pairs of texts."""

import tensorflow as tf

from karpa_tf.export.compatibility import LABELS, format_lines
from karpa_tf.export.versions import Call, Export


def make_text_classifier_export(model, inputs, classes, texts=None, *, task):
    """Returns the `Export` of a text classifier.

    Its only signature, serving_default, takes the inputs of `TextInputs`, truncated, and returns `classes`, string
    (batch, classes), the same in every row, and `scores`, float32 (batch, classes), probabilities in this order.

    Args:
        model: model from `make_text_classifier`.
        inputs: its `TextInputs`.
        classes: class names in the order of the logits.
        texts: examples of real data, texts or pairs of texts, or None.
        task: name of the task, for the model card.
    """
    functions, from_ids = make_text_classifier_functions(model, inputs, classes)
    kind = "pairs of texts" if len(inputs.names) > 1 else "texts"
    return Export(
        task=task,
        form="_".join(inputs.names[-1:]),
        functions=functions,
        convertible=from_ids,
        files={LABELS: format_lines(classes)} | inputs.files(),
        details={"classes": list(classes)} | inputs.details(texts),
        about=f"This model classifies {kind} into {len(classes)} classes and returns a probability for each.",
        limits=(
            f"It knows its {len(classes)} classes only; a text of any other kind is assigned to one of them too.",
            f"The {kind} are truncated to {inputs.max_tokens - 1 - len(inputs.names):,} tokens.",
            "The accuracy on texts unlike those of its data set was not measured.",
        ),
        calls={
            "serving_default": Call(
                "`classes` are the names of the columns of `scores`, which are probabilities.",
                *inputs.format_call(texts),
            )
        },
        **inputs.describe(texts),
    )


def make_text_classifier_functions(model, inputs, classes):
    """Returns the functions of the signatures by name, and a function of token ids.

    For the signatures see `make_text_classifier_export`. The function of token ids is for formats without strings: it
    maps `token_ids`, int32 (batch, length), 0 is padding, to `scores`.
    """
    names = tf.constant(list(classes))

    def compute_scores(token_ids, padding_mask):
        logits = model({"token_ids": token_ids, "padding_mask": padding_mask}, training=False)
        return {"scores": tf.nn.softmax(tf.cast(logits, tf.float32))}

    def classify(token_ids, padding_mask):
        outputs = compute_scores(token_ids, padding_mask)
        return {"classes": tf.tile(names[None], [tf.shape(token_ids)[0], 1])} | outputs

    return {"serving_default": inputs.make_function(classify)}, inputs.make_function_of_ids(compute_scores)
