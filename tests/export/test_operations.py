"""Ops that other TensorFlow programs lack are found and refused."""

import json

import pytest
import tensorflow as tf
from tiny_exports import make_export

from karpa_tf.errors import UserError
from karpa_tf.export.meta_graph import read_meta_graph
from karpa_tf.export.operations import find_custom_ops
from karpa_tf.export.versions import write


def refuse(base, export):
    """Returns the message of the error about custom ops."""
    with pytest.raises(UserError, match="--allow-custom-ops") as caught:
        write(base, export)
    assert list(base.iterdir()) == []
    return str(caught.value)


def test_a_python_function_is_refused(tmp_path):
    def function(any):
        return {"out": tf.ensure_shape(tf.py_function(lambda x: x + 1, [any], tf.float32), (None,))}

    message = refuse(tmp_path, make_export(function))
    assert "EagerPyFunc calls Python (function __inference_" in message


def test_a_numpy_function_is_refused(tmp_path):
    def function(any):
        return {"out": tf.ensure_shape(tf.numpy_function(lambda x: x + 1, [any], tf.float32), (None,))}

    assert "PyFunc calls Python" in refuse(tmp_path, make_export(function))


def test_a_function_that_requires_xla_is_refused(tmp_path):
    compiled = tf.function(lambda x: x + 1, jit_compile=True)
    message = refuse(tmp_path, make_export(lambda any: {"out": compiled(any)}))
    assert "_XlaMustCompile requires XLA" in message and "jit_compile=True" in message


def test_ops_of_other_libraries_are_refused_even_if_this_process_has_loaded_them(tmp_path):
    text = pytest.importorskip("tensorflow_text")

    def function(any):
        return {"out": text.WhitespaceTokenizer().tokenize(tf.strings.as_string(any)).to_tensor()}

    export = make_export(function)
    assert "TFText>WhitespaceTokenize" in refuse(tmp_path, export)
    folder = write(tmp_path, export, allow_custom_ops=True)
    assert [op for op in find_custom_ops(read_meta_graph(folder)) if op.startswith("TFText>")]
    assert json.loads((folder / "assets.extra" / "card.json").read_text())["custom_ops"]


def test_control_flow_is_allowed(tmp_path):
    def function(any):
        result = tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x + 1), [0, any])[1]
        return {"out": tf.cond(tf.size(any) > 2, lambda: result, lambda: tf.map_fn(tf.square, result))}

    assert find_custom_ops(read_meta_graph(write(tmp_path, make_export(function)))) == {}
