"""The REST interface: the same answers as the signatures', and TF Serving's errors."""

import base64
import http.client
import io
import json
import math

import numpy as np
import pytest
import tensorflow as tf
from exported_models import SIDE
from PIL import Image
from served import picture_files, tiny_models
from served_models import ask, b64, serving

from karpa_tf.configs.serving import LimitsConfig

PICTURES = picture_files(2)
TEXTS = ["the [MASK] list", "a [MASK] of [MASK]."]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="module")
def server(models):
    with serving(model_base_path=str(models), limits=LimitsConfig(max_body_mb=2, max_batch=40)) as server:
        yield server


@pytest.fixture(scope="module")
def signature(models):
    """A function that calls a signature the way a TensorFlow program does: arrays in, dict of arrays out."""
    loaded = {folder.name: tf.saved_model.load(str(folder / "1")) for folder in models.iterdir()}

    def call(model, name="serving_default", **inputs):
        answer = loaded[model].signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in answer.items()}

    return call


def decoded(value):
    """Turns the JSON of outputs into arrays: of bytes where there are texts or base64."""
    if isinstance(value, dict) and "b64" in value:
        return base64.b64decode(value["b64"])
    if isinstance(value, list):
        return [decoded(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def assert_same(answer, expected):
    """Rows or columns of JSON against arrays; floats to 1e-5, as sessions and functions fuse ops differently."""
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


PIXELS = np.random.default_rng(3).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
NOISE = np.random.default_rng(4).normal(size=(3, 8)).astype(np.float32)
IDS = np.array([[2, 5, 4, 3], [2, 6, 4, 3]], np.int32)
ASKED = [
    ("pictures", "serving_default", {"image_bytes": PICTURES}, {"image_bytes": [b64(file) for file in PICTURES]}),
    ("pictures", "images", {"images": PIXELS}, {"images": PIXELS.tolist()}),
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
def test_both_forms_give_what_the_signature_gives(server, signature, model, name, inputs, given):
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


def test_the_outputs_whose_name_ends_in_bytes_are_base64(server):
    code, answer = ask(server, "/v1/models/drawings:predict", {"signature_name": "image_bytes", "instances": [5]})
    assert code == 200
    picture = Image.open(io.BytesIO(base64.b64decode(answer["predictions"][0]["b64"])))
    plain = ask(server, "/v1/models/drawings:predict", {"instances": [5]})[1]["predictions"][0]
    np.testing.assert_array_equal(np.array(picture), np.array(plain)[..., 0])


def test_classify_names_and_scores_the_classes(server, signature):
    expected = signature("pictures", image_bytes=np.array(PICTURES))
    examples = [{"image_bytes": b64(PICTURES[0])}, {"image_bytes": b64(PICTURES[1])}]
    body = {"signature_name": "classify", "examples": examples}
    code, answer = ask(server, "/v1/models/pictures:classify", body)
    assert code == 200, answer
    assert [[label for label, _ in row] for row in answer["results"]] == np.char.decode(
        expected["classes"].astype("S"), "utf8"
    ).tolist()
    scores = np.array([[score for _, score in row] for row in answer["results"]], np.float32)
    np.testing.assert_allclose(scores, expected["scores"], rtol=1e-5)


def test_the_context_of_examples_is_part_of_each(server):
    path, picture = "/v1/models/pictures:classify", b64(PICTURES[0])
    alone = ask(server, path, {"signature_name": "classify", "examples": [{"image_bytes": picture}]})
    shared = {"signature_name": "classify", "context": {"image_bytes": picture}, "examples": [{}]}
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


PREDICT, CLASSIFY, REGRESS = (f"/v1/models/pictures:{method}" for method in ("predict", "classify", "regress"))
NOISY, WORDS = "/v1/models/drawings:predict", "/v1/models/words:predict"


def images(rows):
    return {"signature_name": "images", "instances": rows}


WRONG = [
    # The words are those of TF Serving's http_rest_api_handler.cc, json_tensor.cc and their neighbours.
    (PREDICT, b"", 400, "JSON Parse error: The document is empty"),
    (PREDICT, b"x", 400, "JSON Parse error: Invalid value. at offset: 0"),
    (PREDICT, b"\xff", 400, "JSON Parse error: Invalid encoding in string"),
    (PREDICT, b'{"instances": [1', 400, "JSON Parse error: Missing a comma"),
    (PREDICT, b"[1]", 400, "Is not object"),
    (PREDICT, b'{"instances":' + b"[" * 50_000, 400, "JSON Parse error: The document is nested too deeply."),
    (PREDICT, b'{"instances":[' + b"[" * 40 + b"1" + b"]" * 40 + b"]}", 400, "Encountered list at unexpected level"),
    (PREDICT, b'{"instances":[' + b"9" * 5000 + b"]}", 400, "Number too big"),
    (PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
    (PREDICT, {"inputs": [1], "instances": [1]}, 400, "expecting only one of 'inputs' or 'instances'"),
    (PREDICT, {"instances": 1}, 400, "Excepting 'instances' to be an list/array"),
    (PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
    (PREDICT, {"inputs": []}, 400, ""),
    (PREDICT, {"instances": [1]}, 400, "JSON Value: 1 Type: Number is not of expected type: string"),
    (PREDICT, {"instances": [{"b64": "!"}]}, 400, "Unable to base64 decode"),
    (PREDICT, {"instances": [{"b64": 1}]}, 400, "does not have named input: b64"),
    (PREDICT, {"inputs": {"image_bytes": [{"x": 1}]}}, 400, "not formatted correctly for base64 data"),
    (PREDICT, {"instances": [{"other": 1}]}, 400, "Failed to process element: 0 key: other of 'instances' list."),
    (PREDICT, {"instances": [{"image_bytes": "x"}, "x"]}, 400, "Expecting object but got list at item 1 of input list"),
    (PREDICT, {"instances": ["x", {"image_bytes": "x"}]}, 400, "Expecting value/list but got object at item 1"),
    (PREDICT, {"inputs": {"other": 1}}, 400, "Missing named input: image_bytes in 'inputs' object."),
    (PREDICT, {"instances": ["\ud800"]}, 400, "surrogate pair"),
    (PREDICT, {"instances": ["no picture"]}, 400, ""),
    (PREDICT, {"signature_name": 1, "instances": [1]}, 400, "'signature_name' key must be a string value."),
    (PREDICT, {"signature_name": "no", "instances": [1]}, 400, 'signature name: "no" not found in signature def'),
    (PREDICT, images([[300]]), 400, "300 Type: Number is not of expected type: uint8"),
    (PREDICT, images([[0.5]]), 400, "0.5 Type: Number is not of expected type: uint8"),
    (PREDICT, images([[1, [2]]]), 400, "Encountered list at unexpected level: 1 expected < 1"),
    (PREDICT, images([[[1], 2]]), 400, "JSON Value: 2 found at incorrect level: 2"),
    (PREDICT, images([[1], [1, 2]]), 400, "Expecting tensor size: 1 but got: 2"),
    (PREDICT, images([[[1, 2]], [[1], [2]]]), 400, "Expecting shape [1,2] but got: [2,1]"),
    (PREDICT, images([[[1, 2], [1]]]), 400, "unexpected size: 1 at level: 1 expected size: 2"),
    (PREDICT, images([[1]]), 400, "Input images has shape [1,1]; expected [?,12,12,3]"),
    (NOISY, {"instances": [True]}, 400, "JSON Value: true Type: True is not of expected type: int64"),
    (NOISY, {"instances": [2**63]}, 400, "is not of expected type: int64"),
    (NOISY, {"instances": [None]}, 400, "JSON Value: null Type: Null is not of expected type: int64"),
    (NOISY, {"instances": [1] * 41}, 400, "Input seed has 41 rows; this server takes 40 at most (--max_batch)."),
    (NOISY, {"signature_name": "noise", "instances": [[1e39] * 8]}, 400, "1e+39 to float without loss of precision"),
    (WORDS, {"signature_name": "token_ids", "instances": [[1]]}, 400, "instances is a plain list, but"),
    (WORDS, {"signature_name": "token_ids", "inputs": [[1]]}, 400, "inputs is a plain value/list, but"),
    (WORDS, {"signature_name": "token_ids", "instances": [{"token_ids": [1]}]}, 400,
     "keys must be equal to: mask_positions,token_ids"),
    ("/v1/models/none:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(none)"),
    ("/v1/models/drawings/versions/9:predict", {"instances": [1]}, 404, "not found for request: Specific(drawings, 9)"),
    ("/v1/models/drawings/labels/best:predict", {"instances": [1]}, 400, "Unrecognized servable version label: best"),
    (f"/v1/models/drawings/versions/{2**63}:predict", {}, 400, f"Failed to convert version: {2**63} to numeric."),
    ("/v1/models/drawings:guess", {}, 400, "Malformed request: POST /v1/models/drawings:guess"),
    ("/v1/models/drawings/versions/x:predict", {}, 400, "Malformed request: POST"),
    ("/v1/models/..%2f..%2fetc:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(../../etc)"),
    ("/v1/models/../../etc/passwd", None, 400, "Malformed request: GET"),
    ("/v1/models/..%2f..%2fetc%2fpasswd", None, 404, "Could not find any versions of model ../../etc/passwd"),
    ("/v1/models/drawings/versions/9", None, 404, "Could not find version 9 of model drawings"),
    ("/v1/models", None, 400, "Missing model name in request."),
    ("/v1/other", None, 400, "Malformed request: GET /v1/other"),
    ("/elsewhere", None, 404, "Not Found"),
    (CLASSIFY, {}, 400, "key 'examples' is expected and was not found"),
    (CLASSIFY, {"examples": 1}, 400, "Expecting 'examples' value to be an list/array"),
    (CLASSIFY, {"examples": []}, 400, "'examples' value is an empty array"),
    (CLASSIFY, {"examples": [1]}, 400, "Example must be JSON object but got JSON Number"),
    (CLASSIFY, {"examples": [{"a": None}]}, 400, "Feature: a has element with unexpected JSON type: Null"),
    (CLASSIFY, {"examples": [{"a": [[1]]}]}, 400, "Feature: a has element with unexpected JSON type: Array"),
    (CLASSIFY, {"examples": [{"a": [1, "x"]}]}, 400, "Unexpected element type in feature: a expecting type: int64"),
    (CLASSIFY, {"examples": [{"a": 2**63}]}, 400, "Feature: a has uint64 element. Only int64 is supported."),
    (CLASSIFY, {"signature_name": "classify", "examples": [{}]}, 400, ""),
    (REGRESS, {"examples": [{"a": 1.5}]}, 400, "Expected one output Tensor."),
    (PREDICT, b" " * 2_000_001, 413, "Maximum request body size 2000000 exceeded"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "code", "words"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_with_tf_servings_code_and_words(server, path, body, code, words):
    found, answer = ask(server, path, body)
    assert found == code, answer
    assert set(answer) == {"error"}
    assert words in answer["error"]
    assert "Traceback" not in answer["error"]
    assert len(answer["error"]) < 2000


def test_other_methods_are_malformed_requests(server):
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
        connection.request(method, "/v1/models/drawings")
        answer = connection.getresponse()
        assert answer.status == 400
        assert json.loads(answer.read()) == {"error": f"Malformed request: {method} /v1/models/drawings"}
        assert not any(name.lower().startswith("access-control") for name in answer.headers)
        connection.close()


@pytest.mark.parametrize("host", ["evil.com", "127.0.0.1.evil.com", "10.0.0.1", "localhost.evil.com:80", "["])
def test_a_name_made_to_point_here_is_refused(server, host):
    code, answer = ask(server, "/v1/models/drawings", Host=host)
    assert code == 403
    assert "localhost" in answer["error"]


def test_pages_of_other_sites_are_refused_and_our_own_is_not(server):
    own = f"127.0.0.1:{server.rest_port}"
    path = "/v1/models/drawings:predict"
    for host in (own, f"localhost:{server.rest_port}", f"[::1]:{server.rest_port}", "models.localhost"):
        assert ask(server, path, {"instances": [1]}, Host=host, Origin=f"http://{host}")[0] == 200
    for origin in ("http://evil.com", "null", f"http://{own}.evil.com", "http://127.0.0.1:1"):
        assert ask(server, path, {"instances": [1]}, Origin=origin)[0] == 403


def test_a_defect_is_answered_without_its_traceback(server, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr("karpa_tf.serving.json_answers.write", broken)
    code, answer = ask(server, "/v1/models/drawings:predict", {"instances": [1]})
    assert code == 500
    assert answer == {"error": "Internal error: RuntimeError; the server's log says more."}
    assert "secret" in capsys.readouterr().err


def test_numbers_are_written_as_tf_serving_writes_them():
    from karpa_tf.serving.json_answers import floats

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
    assert floats(values.tolist(), np.float32) == list(cases.values())
    many = np.random.default_rng(0).normal(size=1000)
    assert [float(text) for text in floats(many.tolist(), np.float64)] == many.tolist()


def test_outputs_that_json_cannot_hold_are_refused_in_words():
    from karpa_tf.serving import json_answers
    from karpa_tf.serving.errors import ServingError

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
