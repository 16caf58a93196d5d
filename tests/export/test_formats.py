"""Exports as files for LiteRT and ONNX Runtime: converted, and compared with the function they were made from."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_models import BERT, CLASSES, IMAGE_SIZE, VOCABULARY

from karpa_tf.configs import bert, resnet
from karpa_tf.configs import gan as gan_configs
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.errors import UserError
from karpa_tf.export import conversion, onnx, tflite
from karpa_tf.export.classifier import classifier_functions
from karpa_tf.export.generator import generator_functions
from karpa_tf.export.masked_lm import masked_lm_functions
from karpa_tf.models.bert import make_encoder, make_masked_lm, make_text_classifier
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_generator

pytestmark = pytest.mark.slow

TASKS = ("classifier", "generator", "masked_lm", "text_classifier")
RESNET = resnet.ResNetConfig(filters=(4, 8), blocks=(1, 1))


def learned(model, scale=0.3):
    """Moves all weights, as training would: untrained networks say nearly the same of everything."""
    for place, weight in enumerate(model.weights):
        step = scale * keras.random.normal(weight.shape, seed=place)
        weight.assign(weight + (abs(step) if "variance" in weight.path else step))
    return model


def signature_of(task, **config):
    """Returns a small network's function, its model, and a function from two numbers to inputs of that size."""
    random = np.random.default_rng(7)
    if task == "classifier":
        model = learned(
            make_classifier(dataclasses.replace(RESNET, **config), (IMAGE_SIZE, IMAGE_SIZE, 3), len(CLASSES)), 0.1
        )
        function = classifier_functions(model, CLASSES)["images"]
        return (
            function,
            model,
            lambda n, _: {"images": random.integers(0, 256, (n, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)},
        )
    if task == "generator":
        model = learned(make_generator(dataclasses.replace(gan_configs.TINY, **config)))
        function = generator_functions(model)["noise"]
        return function, model, lambda n, _: {"noise": random.normal(size=(n, 8)).astype(np.float32)}
    config = dataclasses.replace(BERT, **config)
    encoder = make_encoder(config, len(VOCABULARY))

    def texts(count, length):
        token_ids = random.integers(len(SPECIAL), len(VOCABULARY), (count, length), np.int32)
        token_ids[0, length // 2 + 1 :] = 0
        return {"token_ids": token_ids}

    def texts_with_blanks(count, length):
        return texts(count, length) | {"mask_positions": random.integers(0, length, (count, length // 3), np.int32)}

    if task == "masked_lm":
        model = learned(make_masked_lm(config, encoder))
        return (
            masked_lm_functions(model, VOCABULARY, config.max_sequence_length)[0]["token_ids"],
            model,
            texts_with_blanks,
        )
    model = learned(make_text_classifier(config, encoder, 2))

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32, name="token_ids")])
    def scores(token_ids):
        return {"scores": tf.nn.softmax(model({"token_ids": token_ids, "padding_mask": token_ids != 0}))}

    return scores, model, texts


def dense(inputs, outputs, activation):
    """Returns a function of one layer, `x` to `y`, and examples."""
    layer = keras.layers.Dense(outputs)
    layer.build((None, inputs))

    @tf.function(input_signature=[tf.TensorSpec((None, inputs), tf.float32, name="x")])
    def function(x):
        return {"y": activation(layer(x))}

    return function, [{"x": np.random.default_rng(0).normal(size=(5, inputs)).astype(np.float32)}]


def answers_of(file, inputs):
    """Returns what a file makes of a dict of inputs, asked as its users ask."""
    if file.suffix == ".tflite":
        interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(file))
        return interpreter.get_signature_runner("serving_default")(**inputs)
    session = pytest.importorskip("onnxruntime").InferenceSession(str(file))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def installed(format):
    pytest.importorskip({tflite: "ai_edge_litert", onnx: "tf2onnx"}[format])
    return format


def numbers_of(function, inputs):
    answers = function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in answers.items() if value.dtype != tf.string}


def assert_near(received, expected, tolerance=1e-5):
    assert received.keys() == expected.keys()
    for name, value in expected.items():
        assert received[name].dtype == value.dtype
        limit = 1 if value.dtype == np.uint8 else tolerance * max(1, np.abs(value).max())
        np.testing.assert_allclose(received[name].astype(float), value.astype(float), rtol=0, atol=limit)


each_format = pytest.mark.parametrize("format", [tflite, onnx], ids=["tflite", "onnx"])


@each_format
@pytest.mark.parametrize("task", TASKS)
def test_a_file_does_what_the_function_does_for_any_number_and_length(task, format, tmp_path):
    function, _, select_inputs = signature_of(task)
    records = installed(format).write(function, [select_inputs(3, 7)], tmp_path)
    json.dumps(records)
    for inputs in (select_inputs(1, 3), select_inputs(5, 16)):
        expected = numbers_of(function, inputs)
        assert_near(answers_of(tmp_path / records[0]["file"], inputs), expected)
        assert all(np.std(value) > 1e-3 for value in expected.values())
    assert records[0]["inputs"] == [spec.name for spec in function.input_signature]
    assert records[0]["outputs"] == sorted(expected)  # without the classes, which are strings


@each_format
@pytest.mark.parametrize("config", [{"positions": "rotary", "norm": "pre"}, {"positions": "sinusoidal"}], ids=str)
def test_positions_of_every_kind_are_converted(config, format, tmp_path):
    function, _, select_inputs = signature_of("masked_lm", **config)
    records = installed(format).write(function, [select_inputs(3, 7)], tmp_path)
    inputs = select_inputs(2, 13)
    assert_near(answers_of(tmp_path / records[0]["file"], inputs), numbers_of(function, inputs))


@each_format
@pytest.mark.parametrize(
    ("task", "precision"), [("classifier", "mixed_bfloat16"), ("text_classifier", "mixed_float16")]
)
def test_what_was_trained_in_mixed_precision_is_converted_to_float32(task, precision, format, tmp_path):
    keras.config.set_dtype_policy("float32")
    exact, model, select_inputs = signature_of(task)
    keras.config.set_dtype_policy(precision)
    mixed, mixed_model, _ = signature_of(task)
    mixed_model.set_weights(model.get_weights())
    records = installed(format).write(mixed, [select_inputs(3, 7)], tmp_path)
    inputs = select_inputs(4, 9)
    assert_near(answers_of(tmp_path / records[0]["file"], inputs), numbers_of(exact, inputs))
    assert not np.allclose(numbers_of(mixed, inputs)["scores"], numbers_of(exact, inputs)["scores"], atol=1e-5)


def test_weights_become_smaller_and_the_price_is_told(tmp_path):
    function, examples = dense(200, 300, tf.nn.tanh)
    records = {record["weights"]: record for record in installed(tflite).write(function, examples, tmp_path)}
    assert {record["file"] for record in records.values()} == {path.name for path in tmp_path.iterdir()}
    sizes = {weights: (tmp_path / record["file"]).stat().st_size for weights, record in records.items()}
    assert sizes == {weights: record["bytes"] for weights, record in records.items()}
    for weights, share in {"float32": 1, "float16": 1 / 2, "int8": 1 / 4}.items():
        assert sizes[weights] == pytest.approx(share * 200 * 300 * 4, abs=6_000)
    expected = numbers_of(function, examples[0])["y"]
    for weights, low, high in (("float32", 0, 1e-6), ("float16", 1e-5, 2e-3), ("int8", 2e-3, 5e-2)):
        received = answers_of(tmp_path / records[weights]["file"], examples[0])["y"]
        difference = np.abs(received - expected).max()
        assert records[weights]["max_difference"] == pytest.approx(difference, rel=0.3, abs=1e-6)
        assert low <= difference < high


def test_an_onnx_file_is_valid_and_its_batch_is_free(tmp_path):
    checker = pytest.importorskip("onnx")
    function, _, select_inputs = signature_of("text_classifier")
    (record,) = installed(onnx).write(function, [select_inputs(3, 7)], tmp_path)
    model = checker.load(str(tmp_path / "model.onnx"))
    checker.checker.check_model(model, full_check=True)
    assert {opset.domain: opset.version for opset in model.opset_import}[""] == record["opset"] == 17
    shapes = [
        [dimension.dim_param or dimension.dim_value for dimension in tensor.type.tensor_type.shape.dim]
        for tensor in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [["batch", "token_ids_1"], ["batch", 2]]


@each_format
def test_nothing_is_said_on_the_way(format, tmp_path, capfd):
    function, examples = dense(3, 2, tf.nn.softmax)
    installed(format).write(function, examples, tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("format", "operation", "name"), [(tflite, tf.math.erf, "tflite.*Erf"), (onnx, tf.math.lgamma, "onnx.*Lgamma")]
)
def test_an_operation_that_cannot_be_converted_is_named(format, operation, name, tmp_path):
    function, examples = dense(3, 2, operation)
    with pytest.raises(UserError, match=rf"{name}.* --formats\."):
        installed(format).write(function, examples, tmp_path)


@each_format
def test_a_file_of_another_network_is_refused(format, tmp_path, monkeypatch):
    wanted, examples = dense(3, 2, tf.nn.softmax)
    other, _ = dense(3, 2, tf.nn.softmax)
    convert = installed(format)._converted
    monkeypatch.setattr(
        format, "_converted", lambda file, copy, *rest: convert(file, conversion.make_numeric_copy(other)[0], *rest)
    )
    with pytest.raises(UserError, match=r"model\.(tflite|onnx) differs from the SavedModel by .*at most 1e-05"):
        format.write(wanted, examples, tmp_path)


# What needs no converter


@pytest.mark.parametrize(("format", "package", "extra"), [(tflite, "ai_edge_litert", "tflite"), (onnx, "onnx", "onnx")])
def test_a_missing_converter_names_the_extra_that_brings_it(format, package, extra, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    function, examples = dense(3, 2, tf.nn.softmax)
    for call in (format.require_converter, lambda: format.write(function, examples, tmp_path)):
        with pytest.raises(
            UserError, match=rf"--formats {extra} needs .*{package}.* pip install 'karpa_tf\[{extra}\]'"
        ):
            call()


def test_the_copy_keeps_the_numbers_and_not_the_variables():
    function, model, select_inputs = signature_of("classifier")
    copy, exact = conversion.make_numeric_copy(function)
    inputs = select_inputs(3, 0)
    before = numbers_of(function, inputs)
    learned(model)
    assert exact and copy.get_concrete_function().variables == ()
    copied = {name: value.numpy() for name, value in copy(*inputs.values()).items()}
    assert_near(copied, before)
    assert np.abs(numbers_of(function, inputs)["scores"] - before["scores"]).max() > 1e-3


def compared(difference, outputs=None):
    """Returns what `compare` measures where a file's `y` is `outputs` + `difference`."""
    outputs = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32) if outputs is None else outputs

    def function(rows):
        return {"y": tf.gather(outputs, rows)}

    def run(inputs):
        return {"y": outputs[inputs["rows"]] + difference}

    return conversion.compare(Path("model.x"), run, function, [{"rows": np.array([0, 1])}])


def test_differences_are_measured_in_units_and_as_shares():
    greatest, share, relative = compared(np.float32(0.5))
    # Rows 1 2, 3 4, then 1 2 alone, then both twice.
    spread = np.std([1, 2, 3, 4, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4])
    assert (greatest, share) == (0.5, 0.5 / 4) and relative == pytest.approx(0.5 / spread)


def test_small_outputs_are_measured_against_one_and_constant_ones_have_no_spread():
    small = np.full((2, 2), 0.01, np.float32)
    assert compared(np.float32(0.001), small) == pytest.approx([0.001, 0.001, 0.001], rel=1e-4)


def test_neighboring_grey_levels_count_as_equal_and_are_told():
    pixels = np.array([[10, 20], [30, 250]], np.uint8)
    assert compared(np.uint8(1), pixels) == [1, 0, 0]
    assert compared(np.uint8(3), pixels)[:2] == [3, 2 / 250]


@pytest.mark.parametrize(
    ("difference", "exact", "kept"),
    [(1e-5, True, True), (1e-4, True, False), (1e-2, False, True), (0.5, False, False), (np.nan, False, False)],
)
def test_a_file_is_kept_if_it_is_as_near_as_its_weights_allow(difference, exact, kept, tmp_path):
    function, examples = dense(3, 2, tf.identity)
    copy, _ = conversion.make_numeric_copy(function)

    def run(file):
        assert file.read_bytes() == b"content"
        return lambda inputs: {"y": function(**inputs)["y"].numpy() + np.float32(difference)}

    def write():
        return conversion.write_checked(tmp_path / "model.x", b"content", run, function, copy, examples, exact, more=1)

    if kept:
        record = write()
        assert record["max_difference"] == pytest.approx(difference, rel=0.05)
        assert (record["file"], record["format"], record["bytes"], record["more"]) == ("model.x", "x", 7, 1)
    else:
        with pytest.raises(UserError, match="model.x differs .* Leave x out of --formats"):
            write()


def test_a_file_that_gives_another_shape_is_refused():
    def run(inputs):
        return {"y": np.zeros((1, 2), np.float32)}

    with pytest.raises(UserError, match=r"makes y of shape \[1, 2\] where the SavedModel makes \[5, 2\]"):
        conversion.compare(Path("model.x"), run, *dense(3, 2, tf.identity))


def test_a_file_that_fails_when_it_is_run_is_refused():
    def run(inputs):
        raise RuntimeError("shapes [5] and [0]\nin line 7")

    with pytest.raises(UserError, match=r"cannot be run: shapes \[5\] and \[0\]\. Leave x out of --formats"):
        conversion.compare(Path("model.x"), run, *dense(3, 2, tf.identity))


# Networks of the sizes that people train


@pytest.mark.slow
@each_format
@pytest.mark.parametrize("name", ["resnet20", "dcgan28", "dcgan64", "bert", "bert_rotary"])
def test_networks_of_usual_sizes_are_converted(name, format, tmp_path):
    random = np.random.default_rng(0)
    if name == "resnet20":
        model = learned(make_classifier(resnet.cifar(20), (32, 32, 3), 10), 0.02)
        function = classifier_functions(model, [str(number) for number in range(10)])["images"]
        examples = [{"images": random.integers(0, 256, (3, 32, 32, 3), np.uint8)}]
    elif name.startswith("dcgan"):
        config = gan_configs.TUTORIAL_28 if name == "dcgan28" else gan_configs.TUTORIAL_64
        function = generator_functions(learned(make_generator(config), 0.02))["noise"]
        examples = [{"noise": random.normal(size=(3, config.latent_dim)).astype(np.float32)}]
    else:
        config = dataclasses.replace(bert.TINY, position_embedding="rotary" if name == "bert_rotary" else "learned")
        vocabulary = Vocabulary((*SPECIAL, *(f"word{number}" for number in range(8000))))
        model = make_masked_lm(config, make_encoder(config, len(vocabulary)))
        function = masked_lm_functions(model, vocabulary, config.max_sequence_length)[0]["token_ids"]
        token_ids = random.integers(5, 8000, (3, 40), np.int32)
        examples = [{"token_ids": token_ids, "mask_positions": random.integers(0, 40, (3, 6), np.int32)}]
    records = installed(format).write(function, examples, tmp_path)
    print(*records, sep="\n")
    assert records[0]["max_difference"] <= 1e-5 * max(
        1, np.abs(next(iter(numbers_of(function, examples[0]).values()))).max()
    )
