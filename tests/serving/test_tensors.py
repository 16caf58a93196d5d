"""Tensors of requests: read as TensorFlow reads them, and refused before anything large is allocated."""

import json
import math
import time
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.tensors import from_json, from_proto, to_json, to_proto

ARRAYS = [np.array([[0, 1, 2], [3, 100, 5]]).astype(name) for name in
          ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
           "bool", "complex64")]  # fmt: skip
ARRAYS.append(np.array([[b"a", b""], [b"\xff\0", b"z" * 200]], object))


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: array.dtype.name)
def test_every_type_is_written_and_read_as_tensorflow_does(array):
    dtype = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    np.testing.assert_array_equal(tf.make_ndarray(to_proto(array)), array)
    packed = tensor_pb2.TensorProto.FromString(tf.io.serialize_tensor(tf.constant(array)).numpy())
    for proto in (to_proto(array), packed, tf.make_tensor_proto(array)):
        np.testing.assert_array_equal(from_proto("x", proto, dtype), array)


def proto(shape, dtype=types_pb2.DT_FLOAT, **fields):
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape={"dim": [{"size": size} for size in shape]}, **fields)


REFUSED = {
    "one value repeated many times": proto([10**12], float_val=[1]),
    "a product beyond 64 bits": proto([2**62, 2**62, 4], float_val=[1]),
    "many empty strings": proto([10**12], types_pb2.DT_STRING, string_val=[b"a"]),
    "one long string repeated many times": proto([10**5], types_pb2.DT_STRING, string_val=[bytes(10**5)]),
    "a negative size": proto([-1, 2], float_val=[1, 2]),
    "a type from the future": proto([1], 12345),
    "a resource": proto([1], types_pb2.DT_RESOURCE),
    "another type": proto([1], types_pb2.DT_INT32, int_val=[1]),
    "content that is too short": proto([2], tensor_content=b"1234567"),
    "more dimensions than a tensor has": proto([1] * 300, float_val=[1]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_proto_is_refused_before_memory_is_allocated(case):
    dtype = tf.string if REFUSED[case].dtype == types_pb2.DT_STRING else tf.float32
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        with pytest.raises(ServingError, match="^Input 'x' of shape"):
            from_proto("x", REFUSED[case], dtype)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10**6 and time.perf_counter() - begun < 1


def test_float32_is_written_with_as_many_digits_as_it_has():
    values = np.array([0.1, 1 / 3, 16777217, -0.0, np.nan, np.inf], np.float32)
    assert as_json("x", values) == "[0.1, 0.33333334, 16777216.0, -0.0, NaN, Infinity]"


def as_json(name, array):
    return "".join(to_json(name, array))


SHAPES = [(), (0,), (3,), (2, 0), (0, 2), (2, 0, 3), (2, 3, 0), (1, 1, 1), (3, 2, 4), (5, 30_000), (2, 70_000)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_json_of_arrays_is_that_of_nested_lists(shape):
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for values in (numbers, numbers * 0.7, np.asarray(numbers % 2 == 0)):
        assert as_json("x", values) == json.dumps(values.tolist())
    text = 'a, ]"é'
    as_lists = json.dumps(np.full(shape, text).tolist(), ensure_ascii=False)
    assert as_json("x", np.full(shape, text.encode(), object)) == as_lists


LARGE = [(np.full((3000, 8, 8, 1), 7, np.uint8), 1), (np.full((1, 60_000), 1 / 3, np.float32), 3)]
"""Arrays, and how many times the length of their JSON may be needed: of the images one block, of the row two copies of
its JSON and a block. Nested lists took 17 and 11.7 times the length."""


@pytest.mark.parametrize(("array", "times"), LARGE, ids=["images", "one row"])
def test_json_takes_less_memory_than_nested_lists(monkeypatch, array, times):
    monkeypatch.setattr("karpa_tf.serving.tensors.MAX_CONVERTED", 2**12)
    tracemalloc.start()
    length = sum(map(len, to_json("x", array)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length > 700_000 and peak < times * length


def test_names_that_end_in_bytes_are_base64():
    values = np.array([[b"ab"]], object)
    assert (as_json("x", values), as_json("x_bytes", values)) == ('[["ab"]]', '[[{"b64": "YWI="}]]')
    assert from_json("x", [{"b64": "YWI"}, "é"], tf.string).tolist() == [b"ab", "é".encode()]
    with pytest.raises(ServingError, match="complex64"):
        as_json("x", np.zeros(1, np.complex64))
