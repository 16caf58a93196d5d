"""Common functions of the converters, without the converters."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from convertible import assert_close, make_dense, make_network, randomize, run_function

from karpa_tf.errors import UserError
from karpa_tf.export import conversion, onnx, tflite


@pytest.mark.parametrize(("format", "package", "extra"), [(tflite, "ai_edge_litert", "tflite"), (onnx, "onnx", "onnx")])
def test_the_error_for_a_missing_package_names_the_extra_to_install(format, package, extra, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    function, examples = make_dense(3, 2, tf.nn.softmax)
    message = rf"--formats {extra} needs .*{package}.* pip install 'karpa_tf\[{extra}\]'"
    for call in (format.require_converter, lambda: format.write(function, examples, tmp_path)):
        with pytest.raises(UserError, match=message):
            call()


def test_the_numeric_copy_keeps_the_values_of_the_variables_but_not_the_variables():
    function, model, make_inputs = make_network("classifier")
    copy, is_exact = conversion.make_numeric_copy(function)
    inputs = make_inputs(3, 0)
    before = run_function(function, inputs)
    randomize(model)
    assert is_exact and copy.get_concrete_function().variables == ()
    copied = {name: value.numpy() for name, value in copy(*inputs.values()).items()}
    assert_close(copied, before)
    assert np.abs(run_function(function, inputs)["scores"] - before["scores"]).max() > 1e-3


def measure(difference, outputs=None):
    """Returns the `Difference` of a file whose output is `outputs` + `difference`."""
    outputs = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32) if outputs is None else outputs

    def function(rows):
        return {"y": tf.gather(outputs, rows)}

    def run(inputs):
        return {"y": outputs[inputs["rows"]] + difference}

    return conversion.compare(Path("model.x"), run, function, [{"rows": np.array([0, 1])}])


def test_differences_are_absolute_and_relative():
    difference = measure(np.float32(0.5))
    # The rows (1, 2) and (3, 4), then (1, 2) alone, then both rows twice.
    deviation = np.std([1, 2, 3, 4, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4])
    assert (difference.maximum, difference.scaled) == (0.5, 0.5 / 4)
    assert difference.relative_error == pytest.approx(0.5 / deviation)


def test_small_outputs_are_scaled_by_one_and_constant_outputs_have_no_deviation():
    small = np.full((2, 2), 0.01, np.float32)
    assert measure(np.float32(0.001), small) == pytest.approx((0.001, 0.001, 0.001), rel=1e-4)


def test_differences_of_one_gray_level_count_in_the_maximum_only():
    pixels = np.array([[10, 20], [30, 250]], np.uint8)
    assert measure(np.uint8(1), pixels) == (1, 0, 0)
    assert measure(np.uint8(3), pixels)[:2] == (3, 2 / 250)


@pytest.mark.parametrize(
    ("difference", "is_exact", "is_accepted"),
    [(1e-5, True, True), (1e-4, True, False), (1e-2, False, True), (0.5, False, False), (np.nan, False, False)],
)
def test_a_file_is_accepted_if_its_difference_is_small_enough_for_its_precision(
    difference, is_exact, is_accepted, tmp_path
):
    function, examples = make_dense(3, 2, tf.identity)

    def load_runner(path):
        assert path.read_bytes() == b"content"
        return lambda inputs: {"y": function(**inputs)["y"].numpy() + np.float32(difference)}

    file = conversion.ConvertedFile(tmp_path / "model.x", b"content", load_runner, is_exact, {"more": 1})
    if is_accepted:
        entry = conversion.write_checked(file, function, examples)
        assert entry["max_difference"] == pytest.approx(difference, rel=0.05)
        assert (entry["file"], entry["format"], entry["bytes"], entry["more"]) == ("model.x", "x", 7, 1)
        assert (entry["inputs"], entry["outputs"]) == (["x"], ["y"])
    else:
        with pytest.raises(UserError, match="model.x differs .* Leave x out of --formats"):
            conversion.write_checked(file, function, examples)


def test_a_file_with_outputs_of_another_shape_is_refused():
    def run(inputs):
        return {"y": np.zeros((1, 2), np.float32)}

    with pytest.raises(UserError, match=r"returns y of shape \[1, 2\], but the SavedModel returns \[5, 2\]"):
        conversion.compare(Path("model.x"), run, *make_dense(3, 2, tf.identity))


def test_a_file_that_cannot_be_run_is_refused():
    def run(inputs):
        raise RuntimeError("shapes [5] and [0]\nin line 7")

    with pytest.raises(UserError, match=r"cannot be run: shapes \[5\] and \[0\]\. Leave x out of --formats"):
        conversion.compare(Path("model.x"), run, *make_dense(3, 2, tf.identity))
