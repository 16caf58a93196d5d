"""TensorProtos: read and written as TensorFlow does, and refused before anything large is allocated."""

import time
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.tensors import TYPES, array_of, proto_of

WORDS = np.array([[b"a", b"", b"\xff\0"], [b"x" * 200, b"\0", b"z"]], object)


def values(kind):
    """Returns an array of a type, (2, 3)."""
    dtype = np.dtype(TYPES[kind][1])
    if dtype.kind == "O":
        return WORDS
    numbers = np.array([[0, 1, 2], [3, 100, 5]]) * (1 if dtype.kind in "ub" else -1)
    return (numbers * 1.25 + (2j if dtype.kind == "c" else 0)).astype(dtype)


def proto(dtype=types_pb2.DT_FLOAT, shape=(), **fields):
    made = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


@pytest.mark.parametrize("kind", TYPES, ids=types_pb2.DataType.Name)
def test_every_type_is_read_and_written_as_tensorflow_does(kind):
    array = values(kind)
    written = proto_of(array)
    packed = tensor_pb2.TensorProto.FromString(tf.io.serialize_tensor(tf.constant(array)).numpy())
    assert written.dtype == packed.dtype == kind
    np.testing.assert_array_equal(tf.make_ndarray(written), array)
    for proto in (written, packed, tf.make_tensor_proto(array)):
        read = array_of(proto, "x")
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != types_pb2.DT_STRING], ids=types_pb2.DataType.Name)
@pytest.mark.parametrize("count", [0, 1, 2, 6, 9])
def test_missing_values_are_filled_and_surplus_ones_dropped_as_tensorflow_does(kind, count):
    proto = proto_of(np.resize(values(kind), count))
    proto.tensor_shape.Clear()
    for size in (2, 3):
        proto.tensor_shape.dim.add(size=size)
    expected = tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(kind)).numpy()
    np.testing.assert_array_equal(array_of(proto, "x"), expected)


@pytest.mark.parametrize(("given", "read"), [([], [b""] * 3), ([b"a", b"b"], [b"a", b"b", b"b"])])
def test_missing_strings_are_filled_too(given, read):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=given)
    proto.tensor_shape.dim.add(size=3)
    assert array_of(proto, "x").tolist() == read


def test_a_repeated_string_is_stored_once():
    content = b"a" * 50_000 + b"\0"
    many = proto(types_pb2.DT_STRING, [5000], string_val=[content])
    tracemalloc.start()
    try:
        assert array_of(many, "x").tolist() == [content] * 5000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10**6


def test_strings_in_tensor_content_are_read():
    content = b"\x02\x00\x81\x01" + b"ab" + b"c" * 129
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_content=content)
    proto.tensor_shape.dim.add(size=3)
    assert array_of(proto, "x").tolist() == [b"ab", b"", b"c" * 129]


HUGE = 10**12
REFUSED = {
    "one value repeated many times": proto(shape=[HUGE], float_val=[1]),
    "no value repeated many times": proto(shape=[HUGE]),
    "a product beyond 64 bits": proto(shape=[2**62, 2**62, 4], float_val=[1]),
    "many empty strings": proto(types_pb2.DT_STRING, [HUGE], string_val=[b"a"]),
    "one long string repeated many times": proto(types_pb2.DT_STRING, [10**5], string_val=[bytes(10**5)]),
    "a negative size": proto(shape=[-1, 2], float_val=[1, 2]),
    "an unknown rank": tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape={"unknown_rank": True}),
    "no type": proto(types_pb2.DT_INVALID),
    "a type from the future": proto(12345),
    "a resource": proto(types_pb2.DT_RESOURCE),
    "a variant": proto(types_pb2.DT_VARIANT, [1]),
    "a reference": proto(types_pb2.DT_FLOAT_REF, [1], float_val=[1]),
    "content that is too short": proto(shape=[2], tensor_content=b"1234567"),
    "content that is too long": proto(shape=[2], tensor_content=bytes(12)),
    "content without a shape": proto(tensor_content=bytes(8)),
    "string content that ends in a length": proto(types_pb2.DT_STRING, [2], tensor_content=b"\x81"),
    "string content with a length past its end": proto(types_pb2.DT_STRING, [1], tensor_content=b"\xff\xff\xff\x7fa"),
    "string content with an endless length": proto(types_pb2.DT_STRING, [1], tensor_content=b"\xff" * 20),
    "an empty shape beyond 64 bits": proto(shape=[0, 2**62, 2**62]),
    "more dimensions than an array has": proto(shape=[1] * 300, float_val=[1]),
    "a number that does not fit": proto(types_pb2.DT_UINT8, [1], int_val=[300]),
    "a number below zero": proto(types_pb2.DT_UINT8, [2], int_val=[1, -1]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_proto_is_refused_before_memory_is_allocated(case):
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        with pytest.raises(ServingError, match="^tensor parsing error: x: ") as caught:
            array_of(REFUSED[case], "x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code.name == "INVALID_ARGUMENT"
    assert peak < 10**6 and time.perf_counter() - begun < 1


def test_an_empty_tensor_is_read():
    assert array_of(proto(shape=[0, 12, 12, 3]), "x").shape == (0, 12, 12, 3)
