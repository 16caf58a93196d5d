"""A signature as files for LiteRT, which was TensorFlow Lite: in float32, with float16 and with int8 weights."""

import re

import tensorflow as tf

from karpa_tf.errors import first_line
from karpa_tf.export import conversion

FILES = {"float32": "model.tflite", "float16": "model_float16.tflite", "int8": "model_int8.tflite"}
"""What is written, by the type of the weights.

With int8 the weights alone are whole numbers (LiteRT's "dynamic range"): each kernel multiplies by them what it rounds
to int8 as it comes, and inputs and outputs are what they were. Activations in int8 throughout would need hundreds of
examples to find their ranges, and cost Transformers more than they gain on a phone. Arrays of fewer than 1,024 weights
stay as they are.
"""


def require_converter():
    """Raises `UserError` if what this needs is not installed."""
    conversion.require("tflite", "ai_edge_litert")


def write(function, examples, folder):
    """Writes a signature as the files of `FILES` and returns what `card.json` says of them.

    Their one signature, serving_default, has the names and types of `function`, less the outputs that are strings.

    Args:
        function: a `tf.function` with an input signature of named tensors that returns a dict of tensors.
        examples: dicts of arrays (batch, ...), real ones, with which the files are compared with `function`.
        folder: where they are written; a `Path`.

    Returns:
        list of dicts, see `conversion.write_checked`, with `weights`: "float32", "float16" or "int8".

    Raises:
        UserError: a package is missing, an operation cannot be converted, or a file differs too much.
    """
    require_converter()
    with conversion.quiet():
        copy, exact = conversion.make_numeric_copy(function)
        return [
            conversion.write_checked(
                folder / name,
                _converted(folder / name, copy, weights),
                _runner,
                function,
                copy,
                examples,
                exact=exact and weights == "float32",
                weights=weights,
            )
            for weights, name in FILES.items()
        ]


def _converted(file, copy, weights):
    # The second argument is what holds the variables; there are none.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([copy.get_concrete_function()], tf.Module())
    if weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        return converter.convert()
    except Exception as error:  # of several kinds, with the graph in its text
        lacking = re.search(r"^(?:TF Select|Custom) ops: (.*)$", str(error), re.MULTILINE)
        reason = f"LiteRT has no {lacking[1]}" if lacking else first_line(error)
        raise conversion.conversion_error(file, f"cannot be made: {reason}") from error


def _runner(file):
    # tf.lite has the same interpreter until it goes.
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(file)).get_signature_runner()
    return lambda inputs: run(**inputs)
