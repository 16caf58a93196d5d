"""SavedModels that predict a number for a text, or for a pair of texts."""

import tensorflow as tf

from karpa_tf.export.versions import Call, Export


def make_text_regressor_export(model, inputs, texts=None, *, task):
    """Returns the `Export` of a model from `make_text_regressor`.

    Its only signature, serving_default, takes the inputs of `TextInputs`, truncated, and returns `values`, float32
    (batch,).

    Args:
        model: the model.
        inputs: its `TextInputs`.
        texts: examples of real data, texts or pairs of texts, or None.
        task: name of the task, for the model card.
    """
    functions, from_ids = make_text_regressor_functions(model, inputs)
    kind = "pairs of texts" if len(inputs.names) > 1 else "texts"
    return Export(
        task=task,
        form="value_of_pair" if len(inputs.names) > 1 else "value",
        functions=functions,
        convertible=from_ids,
        files=inputs.files(),
        details=inputs.details(texts),
        about=f"This model predicts a number for {kind}.",
        limits=(
            f"The {kind} are truncated to {inputs.max_tokens - 1 - len(inputs.names):,} tokens.",
            "How large its errors are on texts unlike those of its data set was not measured.",
        ),
        calls={"serving_default": Call("`values` are the predicted numbers.", *inputs.format_call(texts))},
        **inputs.describe(texts),
    )


def make_text_regressor_functions(model, inputs):
    """Returns the functions of the signatures by name, and a function of token ids, as for text classifiers."""

    def compute(token_ids, padding_mask):
        values = model({"token_ids": token_ids, "padding_mask": padding_mask}, training=False)
        return {"values": tf.squeeze(tf.cast(values, tf.float32), axis=1)}

    return {"serving_default": inputs.make_function(compute)}, inputs.make_function_of_ids(compute)
