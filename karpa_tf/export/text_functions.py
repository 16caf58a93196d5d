"""Signatures of language models as functions of lists of strings."""

import tensorflow as tf

from karpa_tf.errors import UserError
from karpa_tf.export.versions import load_version


def load_text_function(saved_model, kind, inputs, outputs):
    """Returns the signature `serving_default` of an exported version as `as_text_function` does.

    Args:
        saved_model: path of the version.
        kind: what the model should be, for the error.
        inputs: names of its inputs.
        outputs: names of outputs that it must have.

    Raises:
        UserError: the signature has others.
    """
    signatures = load_version(saved_model)
    function = signatures.get("serving_default")
    if (
        function is None
        or set(function.structured_input_signature[1]) != set(inputs)
        or not set(outputs) <= set(function.structured_outputs)
    ):
        known = "; ".join(
            f"{name}, of {', '.join(sorted(signature.structured_input_signature[1]))}"
            for name, signature in signatures.items()
        )
        raise UserError(f"The SavedModel is no {kind}; its signatures are {known}.")
    return as_text_function(function)


def as_text_function(function):
    """Returns a `tf.function` of texts as a function of lists of strings, by name, to a dict of arrays."""

    def call(**texts):
        inputs = {name: tf.constant(values) for name, values in texts.items()}
        return {name: value.numpy() for name, value in function(**inputs).items()}

    return call
