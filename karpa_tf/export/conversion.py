"""Common functions of the converters: a copy without variables, and the comparison with the SavedModel."""

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from karpa_tf import keras_compat
from karpa_tf.errors import UserError, first_line

MAX_SCALED_DIFFERENCE = 1e-5
"""Maximum `Difference.scaled` of a file in the same precision."""

MAX_RELATIVE_ERROR = 0.1
"""Maximum `Difference.relative_error` of a file in lower precision.

In trained networks it was 0.0005 to 0.0015 with float16 weights and 0.003 to 0.015 with int8 weights, so more than 0.1
means that the conversion failed. Whether the precision is sufficient is up to the user, who finds the differences in
`card.json`.
"""

HALF_PRECISION = (tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum)


class Difference(NamedTuple):
    """How far the outputs of a file are from those of the SavedModel; the largest values over its outputs."""

    maximum: float
    """Maximum absolute difference."""

    scaled: float
    """Maximum absolute difference divided by the largest absolute value of the output, or by 1 if that is less."""

    relative_error: float
    """Root mean square of the differences divided by the standard deviation of the output."""


@dataclasses.dataclass(frozen=True)
class ConvertedFile:
    """A file in another format, not written yet."""

    path: Path

    content: bytes

    load_runner: Callable
    """Maps the path to a function from a dict of input arrays to a dict of output arrays."""

    is_exact: bool
    """Whether it computes in the same precision as the SavedModel."""

    metadata: dict[str, Any]
    """Further entries for `card.json`."""


def require_packages(format_name, *modules):
    """Raises `UserError`, naming the extra to install, if one of the modules for a format is missing."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(
            f"--formats {format_name} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            f"installed; pip install 'karpa_tf[{format_name}]'."
        )


def make_numeric_copy(function):
    """Returns a copy of a `tf.function` without variables and strings, and whether it has the same precision.

    String outputs are left out, since no converter supports them. What is computed in bfloat16 or float16 is computed
    in float32 in the copy, since the converters lack these operations; it has another precision then. The names of
    inputs and outputs stay the same.

    Args:
        function: a `tf.function` with an input signature of named tensors that returns a dict of tensors.
    """
    signature = function.input_signature

    def compute_numbers(*inputs):
        return {name: value for name, value in function(*inputs).items() if value.dtype != tf.string}

    concrete = tf.function(compute_numbers, input_signature=signature, autograph=False).get_concrete_function()
    names = sorted(concrete.structured_outputs)  # in the order of the outputs
    frozen = keras_compat.freeze_variables(concrete)
    graph = frozen.graph.as_graph_def()
    has_half_precision = _convert_to_float32(graph)
    nodes = [node for node in graph.node if node.op != "Placeholder"]
    for node in (*nodes, *(node for inner in graph.library.function for node in inner.node_def)):
        # LiteRT's converter would look up the gradient, not find it, and write a file without a signature.
        node.attr.pop("_gradient_op_type", None)
    del graph.node[:]
    graph.node.extend(nodes)

    @tf.function(input_signature=signature, autograph=False)
    def copy(*inputs):
        input_map = {tensor.name: value for tensor, value in zip(frozen.inputs, inputs, strict=True)}
        outputs = tf.graph_util.import_graph_def(graph, input_map, [tensor.name for tensor in frozen.outputs], name="")
        return dict(zip(names, outputs, strict=True))

    return copy, not has_half_precision


def _convert_to_float32(graph):
    """Replaces bfloat16 and float16 in a GraphDef by float32, and returns whether there were any."""
    changed = False
    for nodes in (graph.node, *(inner.node_def for inner in graph.library.function)):
        for value in (value for node in nodes for value in node.attr.values()):
            if value.type in HALF_PRECISION:
                value.type, changed = tf.float32.as_datatype_enum, True
            for index, dtype in enumerate(value.list.type):
                if dtype in HALF_PRECISION:
                    value.list.type[index], changed = tf.float32.as_datatype_enum, True
            if value.tensor.dtype in HALF_PRECISION:
                value.tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(value.tensor).astype(np.float32)))
    return changed


def write_checked(file, function, examples):
    """Writes a converted file, compares it with the SavedModel, and returns its entry in `card.json`.

    Args:
        file: a `ConvertedFile`.
        function: the `tf.function` of the SavedModel.
        examples: dicts of input arrays (batch, ...) of real data; random numbers are no realistic images or texts.

    Returns:
        dict: `file`, `format`, `bytes`, `inputs` and `outputs` (names), `max_difference`, `relative_error`, and the
        metadata of the file.

    Raises:
        UserError: the file differs by more than `MAX_SCALED_DIFFERENCE` or `MAX_RELATIVE_ERROR`.
    """
    file.path.write_bytes(file.content)
    difference = compare(file.path, file.load_runner(file.path), function, examples)
    if file.is_exact:
        value, limit, measure = difference.scaled, MAX_SCALED_DIFFERENCE, "difference relative to the largest output"
    else:
        value, limit, measure = difference.relative_error, MAX_RELATIVE_ERROR, "relative root mean square error"
    if not value <= limit:  # also if it is NaN
        raise conversion_error(
            file.path,
            f"differs from the SavedModel by up to {difference.maximum:.3g}; the {measure} is {value:.2g}, expected at "
            f"most {limit:g}",
        )
    outputs = function.get_concrete_function().structured_outputs
    return {
        "file": file.path.name,
        "format": file.path.suffix[1:],
        "bytes": len(file.content),
        "inputs": [spec.name for spec in function.input_signature],
        "outputs": sorted(name for name, spec in outputs.items() if spec.dtype != tf.string),
        "max_difference": float(f"{difference.maximum:.3g}"),
        "relative_error": float(f"{difference.relative_error:.3g}"),
        **file.metadata,
    }


def conversion_error(path, reason):
    """Returns the `UserError` for a file that cannot be written, naming the flag that leaves its format out."""
    return UserError(f"{path.name} {reason}. Leave {path.suffix[1:]} out of --formats.")


def compare(path, run, function, examples):
    """Returns the `Difference` between the outputs of a file and those of the SavedModel.

    Each example is run as it is, its first row alone, and the whole batch twice, since files must accept any batch
    size. Differences of 1 between integers, that is pixels, count in `maximum` only: the floats that they are rounded
    from may be nearly equal.

    Args:
        path: path of the file, for errors.
        run: function that runs the file, from a dict of input arrays to a dict of output arrays.
        function: the `tf.function` of the SavedModel.
        examples: list of dicts of input arrays (batch, ...).
    """
    expected, received = {}, {}
    for inputs in _make_batches(examples):
        expected_outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
        try:
            outputs = run(inputs)
        except Exception as error:  # each runtime has exceptions of its own
            raise conversion_error(path, f"cannot be run: {first_line(error)}") from error
        for name, value in outputs.items():
            shape, expected_shape = list(value.shape), expected_outputs[name].shape.as_list()
            if shape != expected_shape:
                raise conversion_error(
                    path, f"returns {name} of shape {shape}, but the SavedModel returns {expected_shape}"
                )
            expected.setdefault(name, []).append(expected_outputs[name].numpy().ravel())
            received.setdefault(name, []).append(value.ravel())
    differences = [_measure(np.concatenate(expected[name]), np.concatenate(received[name])) for name in expected]
    return Difference(*(float(np.max(values)) for values in zip(*differences, strict=True)))


def _make_batches(examples):
    for example in examples:
        yield example
        yield {name: value[:1] for name, value in example.items()}
        yield {name: np.concatenate([value, value]) for name, value in example.items()}


def _measure(expected, received):
    """Returns the `Difference` of an output, from flat arrays."""
    is_integer = np.issubdtype(expected.dtype, np.integer)
    expected, received = expected.astype(np.float64), received.astype(np.float64)
    difference = np.abs(received - expected)
    counted = np.maximum(difference - 1, 0) if is_integer else difference
    size = max(1.0, np.abs(expected).max())
    deviation = expected.std() or size  # 0 if the outputs are constant
    return Difference(difference.max(), counted.max() / size, np.sqrt(np.mean(counted**2)) / deviation)
