"""Tensors of requests and answers: TensorProto to arrays and back, as TensorFlow reads and writes them.

What a proto says of itself is not trusted: its size is known before an array is made.
"""

import math

import ml_dtypes
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from karpa_tf.serving.errors import invalid

TYPES = {
    types_pb2.DT_FLOAT: ("float_val", np.float32),
    types_pb2.DT_DOUBLE: ("double_val", np.float64),
    types_pb2.DT_INT32: ("int_val", np.int32),
    types_pb2.DT_INT16: ("int_val", np.int16),
    types_pb2.DT_INT8: ("int_val", np.int8),
    types_pb2.DT_UINT16: ("int_val", np.uint16),
    types_pb2.DT_UINT8: ("int_val", np.uint8),
    types_pb2.DT_STRING: ("string_val", np.object_),
    types_pb2.DT_INT64: ("int64_val", np.int64),
    types_pb2.DT_BOOL: ("bool_val", np.bool_),
    types_pb2.DT_UINT32: ("uint32_val", np.uint32),
    types_pb2.DT_UINT64: ("uint64_val", np.uint64),
    types_pb2.DT_HALF: ("half_val", np.float16),
    types_pb2.DT_BFLOAT16: ("half_val", ml_dtypes.bfloat16),
    types_pb2.DT_COMPLEX64: ("scomplex_val", np.complex64),
    types_pb2.DT_COMPLEX128: ("dcomplex_val", np.complex128),
}
"""By TensorFlow's number of a type: the field of a TensorProto that holds its values, and the type of an array of them.

Resources, variants and quantized numbers are no inputs of ours.
"""

KINDS = {np.dtype(dtype): kind for kind, (_, dtype) in TYPES.items()}

MAX_BYTES = 2**28
"""The largest tensor. A proto of a few bytes can stand for any number of values, all the same."""

STRING_BYTES = 24
"""What an empty string takes in TensorFlow's memory."""


def array_of(proto, name, max_bytes=MAX_BYTES):
    """Returns the array that a TensorProto describes; strings are an array of objects, of `bytes`.

    Values in the typed fields may be fewer than the shape has: the last one is repeated, and none stands for zeros. Of
    too many the first are taken. Integers out of the type's range, which TensorFlow would wrap, are refused.

    Args:
        proto: a TensorProto, of whatever it may hold.
        name: of the input, for the error.
        max_bytes: the largest tensor, in bytes.

    Raises:
        ServingError: INVALID_ARGUMENT; its text begins as TF Serving's does.
    """

    def refuse(reason):
        raise invalid(f"tensor parsing error: {name}: {reason}")

    if proto.dtype not in TYPES:
        known = proto.dtype in types_pb2.DataType.values()
        refuse(f"the type {types_pb2.DataType.Name(proto.dtype) if known else proto.dtype} cannot be an input")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        refuse("its shape is not fully known")
    field, dtype = TYPES[proto.dtype][0], np.dtype(TYPES[proto.dtype][1])
    strings = dtype.kind == "O"
    count = math.prod(shape)
    size = count * (STRING_BYTES if strings else dtype.itemsize)
    if size > max_bytes:
        refuse(f"a tensor of shape {list(shape)} takes {size} bytes; the limit is {max_bytes}")
    try:
        if proto.tensor_content:
            values = _split(proto.tensor_content, count) if strings else np.frombuffer(proto.tensor_content, dtype)
            if len(values) != count:
                raise ValueError(f"tensor_content has {len(proto.tensor_content)} bytes, its shape is {list(shape)}")
            return (_objects(values) if strings else values).reshape(shape)
        return _filled(_values(field, getattr(proto, field), dtype, count), count, dtype, max_bytes).reshape(shape)
    except (ValueError, OverflowError) as error:
        return refuse(error)


def proto_of(array):
    """Returns a TensorProto with the values of an array in its typed field, where clients look for them."""
    if array.dtype.kind in "OSU":
        kind = types_pb2.DT_STRING
        values = [bytes(x) if isinstance(x, bytes) else str(x).encode() for x in array.ravel().tolist()]
    else:
        kind = KINDS[array.dtype]
        flat = np.ascontiguousarray(array).ravel()
        if TYPES[kind][0] == "half_val":
            flat = flat.view(np.uint16)
        elif flat.dtype.kind == "c":
            flat = flat.view(flat.real.dtype)
        values = flat.tolist()
    proto = tensor_pb2.TensorProto(dtype=kind)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, TYPES[kind][0]).extend(values)
    return proto


def _values(field, given, dtype, count):
    """Returns the values of a typed field, at most `count`, as a one-dimensional array."""
    if dtype.kind == "O":
        return _objects(given[:count])
    if field == "half_val":
        return np.asarray(given[:count], np.int64).astype(np.uint16).view(dtype)
    if dtype.kind == "c":
        return np.asarray(given[: 2 * count], dtype.type(0).real.dtype)[: len(given) // 2 * 2].view(dtype)
    if field != "int_val":
        return np.asarray(given[:count], dtype)
    wide, limits = np.asarray(given[:count], np.int64), np.iinfo(dtype)
    if wide.size and not limits.min <= wide.min() <= wide.max() <= limits.max:
        raise ValueError(f"{wide.min()} to {wide.max()} do not fit into {dtype}, {limits.min} to {limits.max}")
    return wide.astype(dtype)


def _filled(values, count, dtype, max_bytes):
    """Returns `count` values, the last one repeated; zeros, or empty strings, where there is none."""
    missing = count - len(values)
    if not missing:
        return values
    last = values[-1:] if len(values) else _objects([b""]) if dtype.kind == "O" else np.zeros(1, dtype)
    if dtype.kind == "O" and missing * (size := STRING_BYTES + len(last[0])) > max_bytes:
        raise ValueError(
            f"{missing} more strings like its last one take {missing * size} bytes; the limit is {max_bytes}"
        )
    # Of strings this repeats references; np.full would copy each.
    return np.concatenate([values, np.repeat(last, missing)])


def _objects(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _split(content, count):
    """Returns the strings of a tensor_content: all lengths as varints, then all bytes."""
    lengths, position = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if position == len(content) or shift > 35:
                raise ValueError("tensor_content ends within the lengths of its strings")
            byte = content[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise ValueError(f"tensor_content has {len(content)} bytes, its strings {position + sum(lengths)}")
    ends = np.cumsum(lengths, dtype=np.int64) + position
    return [content[end - length : end] for end, length in zip(ends.tolist(), lengths, strict=True)]
