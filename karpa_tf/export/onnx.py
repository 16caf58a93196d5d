"""Conversion of a signature to ONNX, for ONNX Runtime and other programs that read this format."""

import numpy as np

from karpa_tf.errors import first_line
from karpa_tf.export import conversion
from karpa_tf.system import console

FILE = "model.onnx"

OPSET = 17
"""From 2022, so that older runtimes and those in browsers and phones support it."""


def require_converter():
    """Raises `UserError` if a required package is not installed."""
    conversion.require_packages("onnx", "tf2onnx", "onnxruntime")


def write(function, examples, folder):
    """Writes a signature as `model.onnx` and returns its entry in `card.json`.

    Inputs and outputs have the names and dtypes of those of `function`; string outputs are left out.

    Args:
        function: a `tf.function` with an input signature of named tensors that returns a dict of tensors.
        examples: dicts of input arrays (batch, ...) of real data, for the comparison with `function`.
        folder: `Path` of the folder to write to.

    Returns:
        list of one dict, see `conversion.write_checked`, with `opset`.

    Raises:
        UserError: a package is missing, an operation cannot be converted, or the outputs differ too much.
    """
    require_converter()
    with console.mute_stderr():
        copy, is_exact = conversion.make_numeric_copy(function)
        path = folder / FILE
        file = conversion.ConvertedFile(path, _convert(path, copy), _load_runner, is_exact, {"opset": OPSET})
        return [conversion.write_checked(file, function, examples)]


def _convert(path, copy):
    import tf2onnx

    try:
        model, _ = tf2onnx.convert.from_function(
            copy, copy.input_signature, opset=OPSET, custom_op_handlers={"Erfc": (_convert_erfc, [])}
        )
    except Exception as error:  # tf2onnx raises exceptions of many classes.
        raise conversion.conversion_error(path, f"cannot be written: {first_line(error)}") from error
    _name_dimensions(model.graph)
    return model.SerializeToString()


def _convert_erfc(graph, node, name, arguments):
    """Replaces erfc(x), which TensorFlow uses for GELU, by 1 - erf(x).

    ONNX has no erfc, and tf2onnx 1.17 does not convert it.
    """
    (x,), (result,) = node.input, node.output
    kwargs = {"shapes": [graph.get_shape(result)], "dtypes": [graph.get_dtype(result)]}
    graph.remove_node(name)
    erf = graph.make_node("Erf", [x], **kwargs)
    one = graph.make_const(f"{name}/one", np.array(1, np.float32))
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[result], name=name, **kwargs)


def _name_dimensions(graph):
    """Names the dimensions of any size of inputs and outputs: the first is `batch`, others are <tensor>_<index>."""
    for tensor in (*graph.input, *graph.output):
        for index, dimension in enumerate(tensor.type.tensor_type.shape.dim):
            if not dimension.HasField("dim_value"):
                dimension.dim_param = f"{tensor.name}_{index}" if index else "batch"


def _load_runner(path):
    """Returns a function that runs a file, from a dict of input arrays to a dict of output arrays."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # of several classes, for operations that tf2onnx has not converted
        raise conversion.conversion_error(path, f"is rejected by ONNX Runtime: {first_line(error)}") from error
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))
