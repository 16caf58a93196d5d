"""Conversion of a signature to LiteRT, formerly TensorFlow Lite, with weights in float32, float16 and int8."""

import re

import tensorflow as tf

from karpa_tf.errors import first_line
from karpa_tf.export import conversion
from karpa_tf.system import console

FILES = {"float32": "model.tflite", "float16": "model_float16.tflite", "int8": "model_int8.tflite"}
"""File names by dtype of the weights.

"int8" is dynamic range quantization: only weights are stored in int8, arrays of fewer than 1,024 weights stay float32,
activations are quantized while the model runs, and inputs and outputs keep their dtype. Full integer quantization would
need hundreds of examples to calibrate the activations, and costs Transformers more than it gains on a phone.
"""


def require_converter():
    """Raises `UserError` if a required package is not installed."""
    conversion.require_packages("tflite", "ai_edge_litert")


def write(function, examples, folder):
    """Writes a signature as the files of `FILES` and returns their entries in `card.json`.

    Each file has one signature, serving_default, with the names and dtypes of the inputs and outputs of `function`;
    string outputs are left out.

    Args:
        function: a `tf.function` with an input signature of named tensors that returns a dict of tensors.
        examples: dicts of input arrays (batch, ...) of real data, for the comparison with `function`.
        folder: `Path` of the folder to write to.

    Returns:
        list of dicts, see `conversion.write_checked`, with `weights`: "float32", "float16" or "int8".

    Raises:
        UserError: a package is missing, an operation cannot be converted, or the outputs differ too much.
    """
    require_converter()
    entries = []
    with console.mute_stderr():
        copy, is_exact = conversion.make_numeric_copy(function)
        for weights, name in FILES.items():
            content = _convert(folder / name, copy, weights)
            file = conversion.ConvertedFile(
                folder / name, content, _load_runner, is_exact and weights == "float32", {"weights": weights}
            )
            entries.append(conversion.write_checked(file, function, examples))
    return entries


def _convert(path, copy, weights):
    # The second argument is the object that owns the variables, of which there are none.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([copy.get_concrete_function()], tf.Module())
    if weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        return converter.convert()
    except Exception as error:  # of several classes; the message contains the graph
        missing = re.search(r"^(?:TF Select|Custom) ops: (.*)$", str(error), re.MULTILINE)
        reason = f"LiteRT has no {missing[1]}" if missing else first_line(error)
        raise conversion.conversion_error(path, f"cannot be written: {reason}") from error


def _load_runner(path):
    """Returns a function that runs a file, from a dict of input arrays to a dict of output arrays."""
    # The same interpreter in `tf.lite` is deprecated.
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path)).get_signature_runner()
    return lambda inputs: run(**inputs)
