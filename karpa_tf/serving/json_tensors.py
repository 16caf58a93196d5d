"""Arrays from JSON values and JSON from arrays, by TF Serving's rules and in its words (its json_tensor.cc)."""

import base64
import binascii
import itertools
import json

import grpc
import numpy as np
import tensorflow as tf

from karpa_tf.serving.errors import ServingError, invalid
from karpa_tf.serving.servable import as_strings

DEEPEST = 32
"""Lists in lists that a value may hold; numpy's arrays have 64 dimensions at most."""

INTEGERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint32, tf.uint64)
"""Those that TF Serving reads from JSON."""


def array(value, dtype):
    """Returns the array of a JSON value: a list of lists, or one element.

    Args:
        dtype: number of TensorFlow's type.

    Raises:
        ServingError: INVALID_ARGUMENT; the lists are ragged, or an element is not of the type.
    """
    dtype = tf.dtypes.as_dtype(dtype)
    shape, leaves = [], [value]
    while isinstance(leaves[0], list):
        # Level by level in C; what is wrong is looked for, element by element, only if something is.
        size = len(leaves[0])
        if len(shape) == DEEPEST or any(not isinstance(item, list) or len(item) != size for item in leaves):
            raise _ragged(value, _first_shape(value), 0)
        shape.append(size)
        leaves = list(itertools.chain.from_iterable(leaves))
        if not leaves:
            break
    kinds = set(map(type, leaves))
    if list in kinds:
        raise _ragged(value, _first_shape(value), 0)
    return _elements(leaves, kinds, dtype).reshape(shape)


def _elements(leaves, kinds, dtype):
    """Returns the flat array of elements that are no lists."""
    if dtype == tf.string:
        return as_strings([_bytes(leaf) for leaf in leaves])
    if dtype == tf.bool:
        _require(leaves, kinds, {bool}, dtype)
        return np.array(leaves, bool)
    if dtype in (tf.float32, tf.float64):
        _require(leaves, kinds, {int, float}, dtype)
        return _floats(leaves, dtype)
    if dtype in INTEGERS:
        _require(leaves, kinds, {int}, dtype)
        return _integers(leaves, dtype)
    raise ServingError(
        grpc.StatusCode.UNIMPLEMENTED,
        f"Conversion of JSON Value: {show(leaves[0]) if leaves else '[]'} to type: {_name(dtype)}",
    )


def _integers(leaves, dtype):
    for leaf in (min(leaves, default=0), max(leaves, default=0)):
        if not dtype.min <= leaf <= dtype.max:
            raise invalid(
                f"JSON Value: {show(leaf)} Type: Number is not of expected type: {_name(dtype)} "
                f"({dtype.min} to {dtype.max})"
            )
    return np.array(leaves, dtype.as_numpy_dtype)


def _floats(leaves, dtype):
    try:
        doubles = np.array(leaves, np.float64)
    except OverflowError:
        raise invalid(f"Cannot convert JSON value: {show(max(leaves, key=abs))} to {_name(dtype)}.") from None
    with np.errstate(over="ignore"):
        values = doubles.astype(dtype.as_numpy_dtype)
    lost = np.isinf(values) & np.isfinite(doubles)
    if lost.any():
        value = show(leaves[int(lost.argmax())])
        raise invalid(f"Cannot convert JSON value: {value} to {_name(dtype)} without loss of precision.")
    return values


def _require(leaves, kinds, allowed, dtype):
    if kinds <= allowed:
        return
    wrong = next(leaf for leaf in leaves if type(leaf) not in allowed)
    raise invalid(f"JSON Value: {show(wrong)} Type: {kind(wrong)} is not of expected type: {_name(dtype)}")


def _bytes(leaf):
    if isinstance(leaf, str):
        return utf8(leaf)
    if isinstance(leaf, dict):
        return from_base64(leaf)
    raise invalid(f"JSON Value: {show(leaf)} Type: {kind(leaf)} is not of expected type: string")


def utf8(text):
    """Returns the bytes of a JSON string.

    Raises:
        ServingError: half of a surrogate pair is in it.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def is_base64(value):
    """Returns whether a JSON value is {"b64": "..."}, which stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def from_base64(value):
    """Returns the bytes that {"b64": "..."} stands for.

    Raises:
        ServingError: it is not of that form, or no base64.
    """
    if not is_base64(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def kind(value):
    """Returns what TF Serving calls the type of a JSON value."""
    names = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return str(value) if isinstance(value, bool) else names[type(value)]


def show(value):
    """Returns a JSON value as text for an error, cut short where TF Serving would repeat all of a request."""
    if isinstance(value, (list, dict)) and len(value) > 20:
        value = type(value)(itertools.islice(value.items() if isinstance(value, dict) else value, 20))
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = "..."
    text = text.encode(errors="replace").decode()
    return text if len(text) <= 200 else text[:200] + "..."


def _first_shape(value):
    """Returns the sizes of a value's lists along their first elements, which TF Serving takes for its shape."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _ragged(value, shape, level):
    """Returns the error for the first list or element that is not where, or as long as, the shape says."""
    if len(shape) > DEEPEST:
        return invalid(f"Encountered list at unexpected level: {DEEPEST} expected < {DEEPEST}")
    if not isinstance(value, list):
        if level == len(shape):
            return None
        return invalid(
            f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
            f"Expected at level: {len(shape)}"
        )
    if level >= len(shape):
        return invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        return invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    return next(filter(None, (_ragged(item, shape, level + 1) for item in value)), None)


def _name(dtype):
    """Returns TensorFlow's name of a type as its C++ code has it."""
    return {"float32": "float", "float64": "double", "float16": "half"}.get(dtype.name, dtype.name)
