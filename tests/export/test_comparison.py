import numpy as np
import pytest
import tensorflow as tf
from tiny_exports import make_constant_export, make_export

from karpa_tf.export import comparison
from karpa_tf.export.versions import load_version, write


def test_a_version_whose_outputs_differ_from_those_of_its_model_is_refused(tmp_path):
    other = load_version(write(tmp_path, make_constant_export(2)))
    message = "The output number of the signature serving_default differs .* by up to 1"
    with pytest.raises(RuntimeError, match=message):
        comparison.compare(make_constant_export(1), other)


def test_a_version_with_outputs_of_other_names_is_refused():
    with pytest.raises(RuntimeError, match=r"serving_default are \['other'\], but those of its model are \['number'\]"):
        comparison.compare(make_constant_export(1), {"serving_default": lambda any: {"other": tf.constant(1)}})


@pytest.mark.parametrize(
    ("expected", "received", "tolerance", "message"),
    [
        (np.float32([1, 2]), np.float32([1, 2 + 1e-5]), 0, None),
        (np.float32([0, 2]), np.float32([3e-5, 2]), 0, "by up to 3e-05"),
        (np.float32([1000]), np.float32([1000.005]), 0, None),
        (np.float32([np.nan]), np.float32([np.nan]), 0, None),
        (np.float32([np.nan]), np.float32([0]), 0, "by up to"),
        (np.uint8([0, 255]), np.uint8([255, 0]), 1, "by up to 255"),
        (np.uint8([7, 8]), np.uint8([8, 8]), 1, None),
        (np.uint8([7, 8]), np.uint8([8, 8]), 0, "by up to 1"),
        (np.array([b"a\0", b"b"], object), np.array([b"a\0", b"b"], object), 0, None),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), 0, "1 of 2 values differ"),
        (np.float32([[1]]), np.float32([1]), 0, "float32 (1,), not float32 (1, 1)"),
        (np.zeros((2, 0), np.int32), np.zeros((2, 0), np.int32), 0, None),
    ],
)
def test_arrays_are_equal_within_the_tolerance_of_their_dtype(expected, received, tolerance, message):
    difference = comparison.describe_difference(expected, received, tolerance)
    assert (difference is None) == (message is None)
    if message:
        assert message in difference


def test_edge_cases_are_compared_too():
    export = make_export(
        lambda any: {"sum": tf.reduce_sum(any)}, edge_cases={"serving_default": [{"any": np.ones(5, np.float32)}]}
    )
    with pytest.raises(RuntimeError, match="by up to 5"):
        comparison.compare(export, {"serving_default": lambda any: {"sum": tf.zeros(())}})
