"""Conversion to LiteRT and ONNX: outputs of the files, compared with those of the converted function."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from convertible import (
    NETWORKS,
    assert_close,
    make_dense,
    make_network,
    randomize,
    require_format,
    run_file,
    run_function,
)

from karpa_tf.configs import bert, dcgan, resnet, vit
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.errors import UserError
from karpa_tf.export import conversion, onnx, tflite
from karpa_tf.export.classifier import make_classifier_functions
from karpa_tf.export.generator import make_generator_functions
from karpa_tf.export.masked_lm import make_masked_lm_functions
from karpa_tf.models.bert import make_encoder, make_masked_lm
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_generator

pytestmark = pytest.mark.slow

each_format = pytest.mark.parametrize("format", [tflite, onnx], ids=["tflite", "onnx"])


@each_format
@pytest.mark.parametrize("network", NETWORKS)
def test_a_file_computes_the_same_as_the_function_for_any_batch_size_and_length(network, format, tmp_path):
    function, _, make_inputs = make_network(network)
    entries = require_format(format).write(function, [make_inputs(3, 7)], tmp_path)
    json.dumps(entries)
    for inputs in (make_inputs(1, 3), make_inputs(5, 16)):
        expected = run_function(function, inputs)
        assert_close(run_file(tmp_path / entries[0]["file"], inputs), expected)
        assert all(np.std(value) > 1e-3 for value in expected.values())
    assert entries[0]["inputs"] == [spec.name for spec in function.input_signature]
    assert entries[0]["outputs"] == sorted(expected)  # without the class names, which are strings


@each_format
@pytest.mark.parametrize(
    "config",
    [{"position_embedding": "rotary", "normalize_first": True}, {"position_embedding": "sinusoidal"}],
    ids=["rotary", "sinusoidal"],
)
def test_all_position_embeddings_are_converted(config, format, tmp_path):
    function, _, make_inputs = make_network("masked_lm", **config)
    entries = require_format(format).write(function, [make_inputs(3, 7)], tmp_path)
    inputs = make_inputs(2, 13)
    assert_close(run_file(tmp_path / entries[0]["file"], inputs), run_function(function, inputs))


@each_format
@pytest.mark.parametrize(
    ("network", "precision"), [("classifier", "mixed_bfloat16"), ("text_classifier", "mixed_float16")]
)
def test_a_network_in_mixed_precision_is_converted_to_float32(network, precision, format, tmp_path):
    keras.config.set_dtype_policy("float32")
    exact, model, make_inputs = make_network(network)
    keras.config.set_dtype_policy(precision)
    mixed, mixed_model, _ = make_network(network)
    mixed_model.set_weights(model.get_weights())
    entries = require_format(format).write(mixed, [make_inputs(3, 7)], tmp_path)
    inputs = make_inputs(4, 9)
    assert_close(run_file(tmp_path / entries[0]["file"], inputs), run_function(exact, inputs))
    assert not np.allclose(run_function(mixed, inputs)["scores"], run_function(exact, inputs)["scores"], atol=1e-5)


def test_quantized_weights_are_smaller_and_their_error_is_reported(tmp_path):
    function, examples = make_dense(200, 300, tf.nn.tanh)
    entries = {entry["weights"]: entry for entry in require_format(tflite).write(function, examples, tmp_path)}
    assert {entry["file"] for entry in entries.values()} == {path.name for path in tmp_path.iterdir()}
    sizes = {weights: (tmp_path / entry["file"]).stat().st_size for weights, entry in entries.items()}
    assert sizes == {weights: entry["bytes"] for weights, entry in entries.items()}
    for weights, ratio in {"float32": 1, "float16": 1 / 2, "int8": 1 / 4}.items():
        assert sizes[weights] == pytest.approx(ratio * 200 * 300 * 4, abs=6_000)
    expected = run_function(function, examples[0])["y"]
    for weights, low, high in (("float32", 0, 1e-6), ("float16", 1e-5, 2e-3), ("int8", 2e-3, 5e-2)):
        received = run_file(tmp_path / entries[weights]["file"], examples[0])["y"]
        difference = np.abs(received - expected).max()
        assert entries[weights]["max_difference"] == pytest.approx(difference, rel=0.3, abs=1e-6)
        assert low <= difference < high


def test_an_onnx_file_is_valid_and_takes_any_batch_size(tmp_path):
    checker = pytest.importorskip("onnx")
    function, _, make_inputs = make_network("text_classifier")
    (entry,) = require_format(onnx).write(function, [make_inputs(3, 7)], tmp_path)
    model = checker.load(str(tmp_path / "model.onnx"))
    checker.checker.check_model(model, full_check=True)
    assert {opset.domain: opset.version for opset in model.opset_import}[""] == entry["opset"] == 17
    shapes = [
        [dimension.dim_param or dimension.dim_value for dimension in tensor.type.tensor_type.shape.dim]
        for tensor in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [["batch", "token_ids_1"], ["batch", 2]]


@each_format
def test_converters_print_nothing(format, tmp_path, capfd):
    function, examples = make_dense(3, 2, tf.nn.softmax)
    require_format(format).write(function, examples, tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("format", "operation", "message"),
    [(tflite, tf.math.erf, "tflite.*Erf"), (onnx, tf.math.lgamma, "onnx.*Lgamma")],
)
def test_an_operation_that_cannot_be_converted_is_named(format, operation, message, tmp_path):
    function, examples = make_dense(3, 2, operation)
    with pytest.raises(UserError, match=rf"{message}.* --formats\."):
        require_format(format).write(function, examples, tmp_path)


@each_format
def test_a_file_of_a_different_network_is_refused(format, tmp_path, monkeypatch):
    function, examples = make_dense(3, 2, tf.nn.softmax)
    other, _ = make_dense(3, 2, tf.nn.softmax)
    convert = require_format(format)._convert
    monkeypatch.setattr(
        format, "_convert", lambda path, copy, *rest: convert(path, conversion.make_numeric_copy(other)[0], *rest)
    )
    with pytest.raises(UserError, match=r"model\.(tflite|onnx) differs from the SavedModel by .*at most 1e-05"):
        format.write(function, examples, tmp_path)


@each_format
@pytest.mark.parametrize("name", ["resnet20", "vit", "dcgan28", "dcgan64", "bert", "bert_rotary"])
def test_networks_of_usual_sizes_are_converted(name, format, tmp_path):
    random = np.random.default_rng(0)
    if name in ("resnet20", "vit"):
        config = resnet.cifar(20) if name == "resnet20" else vit.COMPACT
        model = randomize(make_classifier(config, (32, 32, 3), 10), 0.02)
        function = make_classifier_functions(model, [str(number) for number in range(10)])["images"]
        examples = [{"images": random.integers(0, 256, (3, 32, 32, 3), np.uint8)}]
    elif name.startswith("dcgan"):
        config = dcgan.TUTORIAL_28 if name == "dcgan28" else dcgan.TUTORIAL_64
        function = make_generator_functions(randomize(make_generator(config), 0.02))["noise"]
        examples = [{"noise": random.normal(size=(3, config.latent_dim)).astype(np.float32)}]
    else:
        changes = {"position_embedding": "rotary", "activation": "geglu", "use_bias": False}
        config = dataclasses.replace(bert.TINY, **(changes if name == "bert_rotary" else {}))
        vocabulary = Vocabulary((*SPECIAL, *(f"word{number}" for number in range(8000))))
        model = make_masked_lm(config, make_encoder(config, len(vocabulary)))
        function = make_masked_lm_functions(model, vocabulary, config.max_sequence_length)[0]["token_ids"]
        token_ids = random.integers(5, 8000, (3, 40), np.int32)
        examples = [{"token_ids": token_ids, "mask_positions": random.integers(0, 40, (3, 6), np.int32)}]
    entries = require_format(format).write(function, examples, tmp_path)
    print(*entries, sep="\n")
    size = np.abs(next(iter(run_function(function, examples[0]).values()))).max()
    assert entries[0]["max_difference"] <= 1e-5 * max(1, size)
