"""The REST interface returns the same answers as the signatures."""

import base64
import io
import json
import math

import numpy as np
import pytest
import tensorflow as tf
from exported_models import IMAGE_SIZE
from PIL import Image
from served import image_files, tiny_models
from served_models import ask, b64, serving

from karpa_tf.serving import json_answers
from karpa_tf.serving.errors import ServingError

IMAGES = image_files(2)
TEXTS = ["the [MASK] list", "a [MASK] of [MASK]."]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="module")
def server(models):
    with serving(model_base_path=str(models)) as server:
        yield server


@pytest.fixture(scope="module")
def signature(models):
    """A function that calls a signature as a TensorFlow program does: arrays in, dict of arrays out."""
    loaded = {folder.name: tf.saved_model.load(str(folder / "1")) for folder in models.iterdir()}

    def call(model, name="serving_default", **inputs):
        answer = loaded[model].signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in answer.items()}

    return call


def decoded(value):
    """Decodes the JSON of outputs; strings and base64 become bytes."""
    if isinstance(value, dict) and "b64" in value:
        return base64.b64decode(value["b64"])
    if isinstance(value, list):
        return [decoded(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def assert_same(answer, expected):
    """Compares JSON outputs with arrays; floats to 1e-5, since sessions and functions fuse ops differently."""
    for name, array in expected.items():
        given = np.array(decoded(answer[name]), object if array.dtype == object else None)
        assert given.shape == array.shape
        if array.dtype.kind == "f":
            np.testing.assert_allclose(given.astype(np.float32), array, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(given, array)


def rows(inputs):
    names = list(inputs)
    found = [dict(zip(names, values, strict=True)) for values in zip(*inputs.values(), strict=True)]
    return [row[names[0]] for row in found] if len(names) == 1 else found


PIXELS = np.random.default_rng(3).integers(0, 256, (2, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
NOISE = np.random.default_rng(4).normal(size=(3, 8)).astype(np.float32)
IDS = np.array([[2, 5, 4, 3], [2, 6, 4, 3]], np.int32)
ASKED = [
    ("images", "serving_default", {"image_bytes": IMAGES}, {"image_bytes": [b64(file) for file in IMAGES]}),
    ("images", "images", {"images": PIXELS}, {"images": PIXELS.tolist()}),
    ("drawings", "serving_default", {"seed": [7, -1, 2**62]}, {"seed": [7, -1, 2**62]}),
    ("drawings", "noise", {"noise": NOISE}, {"noise": NOISE.tolist()}),
    ("drawings", "image_bytes", {"seed": [1, 2]}, {"seed": [1, 2]}),
    ("words", "serving_default", {"text": TEXTS}, {"text": TEXTS}),
    ("words", "embed", {"text": TEXTS}, {"text": TEXTS}),
    (
        "words",
        "token_ids",
        {"token_ids": IDS, "mask_positions": np.array([[2], [2]], np.int32)},
        {"token_ids": IDS.tolist(), "mask_positions": [[2], [2]]},
    ),
    ("opinions", "serving_default", {"text": ["the list", "Ünï 中!"]}, {"text": ["the list", "Ünï 中!"]}),
]


@pytest.mark.parametrize(
    ("model", "name", "inputs", "given"), ASKED, ids=[f"{model} {name}" for model, name, *_ in ASKED]
)
def test_row_and_column_format_return_what_the_signature_returns(server, signature, model, name, inputs, given):
    inputs = {key: np.array(value) if not isinstance(value, np.ndarray) else value for key, value in inputs.items()}
    expected = signature(model, name, **inputs)
    path = f"/v1/models/{model}:predict"
    code, columns = ask(server, path, {"signature_name": name, "inputs": given})
    assert code == 200, columns
    columns = columns["outputs"]
    assert_same(columns if len(expected) > 1 else {next(iter(expected)): columns}, expected)
    code, answer = ask(server, path, {"signature_name": name, "instances": rows(given)})
    assert code == 200, answer
    one = next(iter(expected))
    found = answer["predictions"]
    assert_same({key: [row[key] for row in found] for key in expected} if len(expected) > 1 else {one: found}, expected)


def test_a_single_input_needs_no_name_and_rows_may_have_one(server):
    path = "/v1/models/drawings:predict"
    expected = ask(server, path, {"inputs": {"seed": [3]}})
    assert ask(server, path, {"inputs": [3]}) == expected
    assert ask(server, path, {"instances": [{"seed": 3}]})[1]["predictions"] == expected[1]["outputs"]


def test_outputs_whose_names_end_in_bytes_are_base64(server):
    code, answer = ask(server, "/v1/models/drawings:predict", {"signature_name": "image_bytes", "instances": [5]})
    assert code == 200
    image = Image.open(io.BytesIO(base64.b64decode(answer["predictions"][0]["b64"])))
    plain = ask(server, "/v1/models/drawings:predict", {"instances": [5]})[1]["predictions"][0]
    np.testing.assert_array_equal(np.array(image), np.array(plain)[..., 0])


def test_classify_returns_classes_and_scores(server, signature):
    expected = signature("images", image_bytes=np.array(IMAGES))
    examples = [{"image_bytes": b64(IMAGES[0])}, {"image_bytes": b64(IMAGES[1])}]
    body = {"signature_name": "classify", "examples": examples}
    code, answer = ask(server, "/v1/models/images:classify", body)
    assert code == 200, answer
    assert decoded([[label for label, _ in row] for row in answer["results"]]) == expected["classes"].tolist()
    scores = np.array([[score for _, score in row] for row in answer["results"]], np.float32)
    np.testing.assert_allclose(scores, expected["scores"], rtol=1e-5)


def test_the_context_is_merged_into_every_example(server):
    path, image = "/v1/models/images:classify", b64(IMAGES[0])
    alone = ask(server, path, {"signature_name": "classify", "examples": [{"image_bytes": image}]})
    shared = {"signature_name": "classify", "context": {"image_bytes": image}, "examples": [{}]}
    assert alone[0] == 200
    assert ask(server, path, shared) == alone


def test_status_and_metadata_are_those_of_tf_serving(server):
    code, answer = ask(server, "/v1/models/drawings")
    version = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert (code, answer) == (200, {"model_version_status": [version]})
    assert ask(server, "/v1/models/drawings/versions/1") == (code, answer)
    code, answer = ask(server, "/v1/models/drawings/versions/1/metadata")
    assert code == 200
    assert answer["model_spec"] == {"name": "drawings", "signature_name": "", "version": "1"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["seed"]["dtype"] == "DT_INT64"
    assert signature["inputs"]["seed"]["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


def test_numbers_are_written_as_tf_serving_writes_them():
    cases = {
        0.2: "0.2",
        1.0: "1.0",
        9000000.0: "9e+06",
        0.00003: "3e-05",
        1 / 3: "0.333333343",
        16777217.0: "16777216.0",
        float("nan"): "NaN",
        math.inf: "Infinity",
        -math.inf: "-Infinity",
        -0.0: "-0.0",
    }
    values = np.array(list(cases), np.float32)
    assert json_answers.floats(values.tolist(), np.float32) == list(cases.values())
    many = np.random.default_rng(0).normal(size=1000)
    assert [float(text) for text in json_answers.floats(many.tolist(), np.float64)] == many.tolist()


def test_outputs_without_a_json_form_are_refused_with_a_message():
    for outputs, words in (
        ({"a": np.zeros((2, 1), np.float16)}, "Failed to write JSON value for tensor type: float16"),
        ({"a": np.float32(1)}, "Tensor name: a has no shape information"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "Tensor name: b has inconsistent batch size: 3 expecting: 2"),
    ):
        with pytest.raises(ServingError, match=words):
            json_answers.write(outputs, rows=True)
    empty = {"a": np.zeros((2, 0), np.float32), "b": np.zeros((2, 0, 3), np.int32)}
    assert json.loads(json_answers.write(empty, rows=True)) == {"predictions": [{"a": [], "b": []}] * 2}
    assert json.loads(json_answers.write(empty, rows=False)) == {"outputs": {"a": [[], []], "b": [[], []]}}
    assert json.loads(json_answers.write({"a": np.zeros((0, 2))}, rows=True)) == {"predictions": []}
