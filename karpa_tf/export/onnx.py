"""A signature as an ONNX file, for ONNX Runtime and whatever else reads that format."""

import numpy as np

from karpa_tf.errors import first_line
from karpa_tf.export import conversion

FILE = "model.onnx"

OPSET = 17
"""Of 2022, so that older runtimes, and those of browsers and phones, take it."""


def require_converter():
    """Raises `UserError` if what this needs is not installed."""
    conversion.require("onnx", "tf2onnx", "onnxruntime")


def write(function, examples, folder):
    """Writes a signature as `model.onnx` and returns what `card.json` says of it.

    Inputs and outputs have the names and types of `function`, less the outputs that are strings.

    Args:
        function: a `tf.function` with an input signature of named tensors that returns a dict of tensors.
        examples: dicts of arrays (batch, ...), real ones, with which the file is compared with `function`.
        folder: where it is written; a `Path`.

    Returns:
        list of one dict, see `conversion.write_checked`, with `opset`.

    Raises:
        UserError: a package is missing, an operation cannot be converted, or the file differs too much.
    """
    require_converter()
    with conversion.quiet():
        copy, exact = conversion.make_numeric_copy(function)
        file = folder / FILE
        content = _converted(file, copy)
        record = conversion.write_checked(file, content, _runner, function, copy, examples, exact=exact, opset=OPSET)
    return [record]


def _converted(file, copy):
    import tf2onnx

    try:
        model, _ = tf2onnx.convert.from_function(
            copy, copy.input_signature, opset=OPSET, custom_op_handlers={"Erfc": (_erfc, [])}
        )
    except Exception as error:  # of several kinds
        raise conversion.conversion_error(file, f"cannot be made: {first_line(error)}") from error
    _name_dimensions(model.graph)
    return model.SerializeToString()


def _erfc(graph, node, name, arguments):
    """Makes erfc(x), of which TensorFlow makes GELU, to 1 - erf(x): tf2onnx 1.17 knows no erfc, as ONNX has none."""
    (x,), (result,) = node.input, node.output
    like = {"shapes": [graph.get_shape(result)], "dtypes": [graph.get_dtype(result)]}
    graph.remove_node(name)
    erf = graph.make_node("Erf", [x], **like)
    one = graph.make_const(f"{name}/one", np.array(1, np.float32))
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[result], name=name, **like)


def _name_dimensions(graph):
    """Calls the first dimension of inputs and outputs batch, and others that are free name_1, name_2."""
    for tensor in (*graph.input, *graph.output):
        for place, dimension in enumerate(tensor.type.tensor_type.shape.dim):
            if not dimension.HasField("dim_value"):
                dimension.dim_param = f"{tensor.name}_{place}" if place else "batch"


def _runner(file):
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # of several kinds, for what tf2onnx leaves unconverted
        raise conversion.conversion_error(file, f"is refused by ONNX Runtime: {first_line(error)}") from error
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))
