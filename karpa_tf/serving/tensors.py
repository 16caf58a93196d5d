"""Tensors of requests and answers: TensorProto and JSON to arrays, and back."""

import base64
import binascii
import json
import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from karpa_tf.serving.errors import invalid

MAX_REPEATED = 2**24
"""Bytes by which a tensor may exceed ten times its proto: a few bytes can stand for any number of equal values."""

MAX_CONVERTED = 2**16
"""Elements that are converted at a time."""

ENCODE = json.JSONEncoder(ensure_ascii=False).encode

FIELDS = {"float32": "float_val", "float64": "double_val", "int64": "int64_val", "bool": "bool_val"} | dict.fromkeys(
    ("int8", "int16", "int32", "uint8", "uint16"), "int_val"
)
"""Field of a TensorProto with the values of a type."""


def as_array(value):
    """Returns a value as TensorFlow returns it as an array; scalars come as numbers and as `bytes`."""
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def from_proto(name, proto, dtype):
    """Returns the array of a TensorProto, as TensorFlow reads it; strings are an array of objects, of `bytes`."""
    dtype = tf.as_dtype(dtype)
    shape = [dim.size for dim in proto.tensor_shape.dim]
    item_size = 24 + max(map(len, proto.string_val), default=0) if dtype == tf.string else dtype.size
    if math.prod(shape) * item_size > MAX_REPEATED + 10 * proto.ByteSize():
        raise invalid(f"Input {name!r} of shape {shape} is much larger than the values that it came with.")
    try:
        with tf.device("CPU:0"):
            return as_array(tf.io.parse_tensor(proto.SerializeToString(), dtype).numpy())
    except (tf.errors.OpError, ValueError):
        raise invalid(f"Input {name!r} of shape {shape} cannot be read as a tensor of {dtype.name}.") from None


def to_proto(array):
    """Returns the TensorProto of an array, if possible with the values in the field where clients look for them."""
    if array.dtype.name not in FIELDS:
        return tf.make_tensor_proto(array)
    shape = tf.TensorShape(array.shape).as_proto()
    proto = tensor_pb2.TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum, tensor_shape=shape)
    getattr(proto, FIELDS[array.dtype.name]).extend(array.ravel().tolist())
    return proto


def from_json(name, value, dtype):
    """Returns the array of a JSON value: nested lists, or one element; {"b64": text} stands for bytes."""
    dtype = tf.as_dtype(dtype)
    try:
        if dtype == tf.string:
            value = _to_bytes(value)
        with tf.device("CPU:0"):
            return as_array(tf.constant(value, dtype).numpy())
    except (TypeError, ValueError, RecursionError, tf.errors.OpError) as error:
        raise invalid(f"Input {name!r} cannot be read as a tensor of {dtype.name}: {error}") from None


def _to_bytes(value):
    if isinstance(value, list):
        return [_to_bytes(item) for item in value]
    if isinstance(value, str):
        return value.encode()
    if is_base64(value):
        try:
            text = "".join(value["b64"].split()).rstrip("=")
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except binascii.Error:
            raise ValueError("its b64 is no base64") from None
    raise ValueError(f"expected a string or {{'b64': ...}}, received {json.dumps(value)}")


def is_base64(value):
    """Returns whether a JSON value is {"b64": text}."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def to_json(name, array):
    """Yields the JSON of an array in pieces; strings are {"b64": text} if the name ends in `_bytes`."""
    if array.ndim == 0:
        yield from to_json_rows(name, array[None])
    else:
        yield from list_pieces(to_json_rows(name, array))


def to_json_rows(name, array):
    """Yields the JSON of each row of an array of one dimension or more, as `to_json`.

    No nested lists are made, which would take ten times the memory and keep Python's garbage collector busy.
    """
    if array.dtype.kind not in "biufO":
        raise invalid(f"Output {name!r} is of {array.dtype.name}, which JSON does not have; use gRPC.")
    size = math.prod(array.shape[1:])
    if size > MAX_CONVERTED:
        yield from (join_pieces(to_json(name, row)).decode() for row in array)
        return
    step = MAX_CONVERTED // max(size, 1)
    for start in range(0, len(array), step):
        block = array[start : start + step]
        yield from _join_rows(block.shape, _elements(name, block.ravel()))


def join_pieces(pieces):
    """Returns pieces of text as UTF-8, a bytearray.

    They are written into one buffer as they are made: millions of strings, which "".join would hold first, take several
    times the memory, and leave it in fragments.
    """
    text = bytearray()
    for piece in pieces:
        text += piece.encode()
    return text


def list_pieces(rows):
    """Yields the JSON of a list in pieces, from the JSON of its elements."""
    yield "["
    for number, row in enumerate(rows):
        yield f", {row}" if number else row
    yield "]"


def _join_rows(shape, texts):
    """Returns the JSON of each row of an array of some shape, from the JSON of its elements."""
    for axis in range(len(shape) - 1, 0, -1):
        size = shape[axis]
        starts = (number * size for number in range(math.prod(shape[:axis])))
        texts = [f"[{', '.join(texts[start : start + size])}]" for start in starts]
    return texts


def _elements(name, array):
    """Returns the JSON of each element of an array of one dimension."""
    if array.dtype == object:
        if name.endswith("_bytes"):
            return [ENCODE({"b64": base64.b64encode(value).decode()}) for value in array]
        return [ENCODE(value.decode(errors="replace")) for value in array]
    if array.dtype == np.float32:
        # The shortest decimal fraction that a float32 is read from: 0.1, not 0.10000000149011612.
        array = array.astype(str).astype(np.float64)
    return ENCODE(array.tolist())[1:-1].split(", ") if len(array) else []
