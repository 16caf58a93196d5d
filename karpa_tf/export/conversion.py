"""What the converters to other formats take, and how near the files that they make come to the SavedModel."""

import contextlib
import importlib.util
import os
import sys

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from karpa_tf.errors import UserError, first_line

EXACT = 1e-5
"""Greatest difference where nothing is rounded, as a share of the output's largest number, or of 1 if that is less."""

NOISE = 0.1
"""Greatest `relative_error` where numbers are rounded to fewer bits, see `compare`.

Trained networks came to 0.0005 to 0.0015 with float16 weights and 0.003 to 0.015 with int8 weights: what is above a
tenth is not a coarser copy, but a broken one. Whether a copy is good enough is for its user to say, who finds the
differences in `card.json`.
"""

NARROW = (tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum)


def require(name, *modules):
    """Raises `UserError` naming the extra that brings them, if one of the packages that make a format is missing."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(
            f"--formats {name} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            f"installed; pip install 'karpa_tf[{name}]'."
        )


def make_numeric_copy(function):
    """Returns a `tf.function` that does what `function` does and holds no variables, and whether it is as exact.

    Outputs that are strings are left out: neither format's converter takes them. What `function` computes in bfloat16
    or float16 the copy computes in float32, for the converters lack such operations; it is not exact then. Inputs and
    outputs keep their names.

    Args:
        function: a `tf.function` with an input signature of named tensors that returns a dict of tensors.
    """
    signature = function.input_signature

    def numbers(*inputs):
        return {name: value for name, value in function(*inputs).items() if value.dtype != tf.string}

    concrete = tf.function(numbers, input_signature=signature, autograph=False).get_concrete_function()
    names = sorted(concrete.structured_outputs)  # in the order of the outputs
    frozen = convert_variables_to_constants_v2(concrete)
    graph = frozen.graph.as_graph_def()
    widened = _widen(graph)
    kept = [node for node in graph.node if node.op != "Placeholder"]
    for node in (*kept, *(node for inner in graph.library.function for node in inner.node_def)):
        # LiteRT's converter would look for the gradient, which is not there, and write a file without a signature.
        node.attr.pop("_gradient_op_type", None)
    del graph.node[:]
    graph.node.extend(kept)

    @tf.function(input_signature=signature, autograph=False)
    def copy(*inputs):
        given = {tensor.name: value for tensor, value in zip(frozen.inputs, inputs, strict=True)}
        outputs = tf.graph_util.import_graph_def(graph, given, [tensor.name for tensor in frozen.outputs], name="")
        return dict(zip(names, outputs, strict=True))

    return copy, not widened


def _widen(graph):
    """Makes float32 of all narrower floats of a GraphDef and returns whether there were any."""
    found = False
    for nodes in (graph.node, *(inner.node_def for inner in graph.library.function)):
        for value in (value for node in nodes for value in node.attr.values()):
            if value.type in NARROW:
                value.type, found = tf.float32.as_datatype_enum, True
            for place, kind in enumerate(value.list.type):
                if kind in NARROW:
                    value.list.type[place], found = tf.float32.as_datatype_enum, True
            if value.tensor.dtype in NARROW:
                value.tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(value.tensor).astype(np.float32)))
    return found


def write_checked(file, content, run, function, copy, examples, exact, **facts):
    """Writes a converted file, compares it with the SavedModel and returns what `card.json` says of it.

    Args:
        file: its path, which need not exist.
        content: its bytes.
        run: maps the path to a function from a dict of inputs to a dict of outputs, by the file.
        function: the `tf.function` of the SavedModel's signature.
        copy: what `make_numeric_copy` made of it.
        examples: dicts of arrays (batch, ...), real ones: numbers drawn at random are no images and no sentences.
        exact: whether nothing was rounded.
        facts: more to be said of the file.

    Returns:
        dict: `file`, `format`, `bytes`, `inputs` and `outputs` (names), `max_difference`, `relative_error`, `facts`;
        see `compare`.

    Raises:
        UserError: the file is not near enough; see `EXACT` and `NOISE`.
    """
    file.write_bytes(content)
    greatest, share, relative = compare(file, run(file), function, examples)
    limit, reached, whole = (EXACT, share, "size") if exact else (NOISE, relative, "spread")
    if not reached <= limit:  # NaN is refused as well
        raise conversion_error(
            file,
            f"differs from the SavedModel by {greatest:.3g}, which is {reached:.2g} of its outputs' {whole}, "
            f"where at most {limit:g} was expected",
        )
    return {
        "file": file.name,
        "format": file.suffix[1:],
        "bytes": len(content),
        "inputs": [spec.name for spec in copy.input_signature],
        "outputs": sorted(copy.get_concrete_function().structured_outputs),
        "max_difference": float(f"{greatest:.3g}"),
        "relative_error": float(f"{relative:.3g}"),
        **facts,
    }


def conversion_error(file, reason):
    """Returns the `UserError` for a file that is not to be had, naming the flag that leaves it out."""
    return UserError(f"{file.name} {reason}. Leave {file.suffix[1:]} out of --formats.")


def compare(file, run, function, examples):
    """Returns how far what `run` computes by a file is from what `function` does, as three numbers.

    Each batch is tried as it is, its first row alone, and all of it twice over, for files must take any batch size. Of
    the whole numbers, pixels, neighbors count as equal for the second and third number: they may be rounded from
    floats that are.

    Returns:
        The greatest difference; the same as a share of the output's largest number, or of 1 if that is less; the root
        mean square of the differences as a share of the output's standard deviation.
    """
    expected, received = {}, {}
    for inputs in _batches(examples):
        wanted = function(**{name: tf.constant(value) for name, value in inputs.items()})
        try:
            answers = run(inputs)
        except Exception as error:  # of the runtimes' several kinds
            raise conversion_error(file, f"cannot be run: {first_line(error)}") from error
        for name, value in answers.items():
            if value.shape != wanted[name].shape:
                shapes = list(value.shape), wanted[name].shape.as_list()
                raise conversion_error(file, "makes {} of shape {} where the SavedModel makes {}".format(name, *shapes))
            expected.setdefault(name, []).append(wanted[name].numpy().ravel())
            received.setdefault(name, []).append(value.ravel())
    pairs = ((np.concatenate(expected[name]), np.concatenate(received[name])) for name in expected)
    return [float(np.max(column)) for column in zip(*(_difference(*pair) for pair in pairs), strict=True)]


def _batches(examples):
    for example in examples:
        yield example
        yield {name: value[:1] for name, value in example.items()}
        yield {name: np.concatenate([value, value]) for name, value in example.items()}


def _difference(expected, received):
    is_whole = np.issubdtype(expected.dtype, np.integer)
    expected, received = expected.astype(np.float64), received.astype(np.float64)
    difference = np.abs(received - expected)
    counted = np.maximum(difference - 1, 0) if is_whole else difference
    size = max(1.0, np.abs(expected).max())
    spread = expected.std() or size  # of outputs that are all the same
    return difference.max(), counted.max() / size, np.sqrt(np.mean(counted**2)) / spread


@contextlib.contextmanager
def quiet():
    """Turns standard error away: the converters and runtimes talk from C++, where no switch reaches them."""
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
