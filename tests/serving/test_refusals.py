"""Requests that the REST interface refuses: invalid ones, with TF Serving's messages, and those of other sites."""

import http.client
import json

import pytest
from served import tiny_models
from served_models import ask, serving

from karpa_tf.configs.serving import LimitsConfig


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    limits = LimitsConfig(max_body_mb=2, max_batch=40)
    with serving(model_base_path=str(tiny_models(tmp_path_factory)), limits=limits) as server:
        yield server


PREDICT, CLASSIFY, REGRESS = (f"/v1/models/images:{method}" for method in ("predict", "classify", "regress"))
NOISY, WORDS = "/v1/models/drawings:predict", "/v1/models/words:predict"


def images(rows):
    return {"signature_name": "images", "instances": rows}


WRONG = [
    # Messages of TF Serving's http_rest_api_handler.cc, json_tensor.cc and related files.
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
    (PREDICT, {"instances": ["no image"]}, 400, ""),
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
    ("/v1/models/drawings:sample", {}, 400, "Malformed request: POST /v1/models/drawings:sample"),
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
def test_an_invalid_request_is_refused_with_tf_servings_code_and_message(server, path, body, code, words):
    found, answer = ask(server, path, body)
    assert found == code, answer
    assert set(answer) == {"error"}
    assert words in answer["error"]
    assert "Traceback" not in answer["error"]
    assert len(answer["error"]) < 2000


def test_other_http_methods_are_malformed_requests(server):
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
        connection.request(method, "/v1/models/drawings")
        answer = connection.getresponse()
        assert answer.status == 400
        assert json.loads(answer.read()) == {"error": f"Malformed request: {method} /v1/models/drawings"}
        assert not any(name.lower().startswith("access-control") for name in answer.headers)
        connection.close()


@pytest.mark.parametrize("host", ["evil.com", "127.0.0.1.evil.com", "10.0.0.1", "localhost.evil.com:80", "["])
def test_a_foreign_host_name_is_refused(server, host):
    code, answer = ask(server, "/v1/models/drawings", Host=host)
    assert code == 403
    assert "localhost" in answer["error"]


def test_requests_from_other_origins_are_refused(server):
    own = f"127.0.0.1:{server.rest_port}"
    path = "/v1/models/drawings:predict"
    for host in (own, f"localhost:{server.rest_port}", f"[::1]:{server.rest_port}", "models.localhost"):
        assert ask(server, path, {"instances": [1]}, Host=host, Origin=f"http://{host}")[0] == 200
    for origin in ("http://evil.com", "null", f"http://{own}.evil.com", "http://127.0.0.1:1"):
        assert ask(server, path, {"instances": [1]}, Origin=origin)[0] == 403


def test_an_unexpected_error_is_answered_without_its_traceback(server, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr("karpa_tf.serving.json_answers.write", broken)
    code, answer = ask(server, "/v1/models/drawings:predict", {"instances": [1]})
    assert code == 500
    assert answer == {"error": "Internal error: RuntimeError; the server's log says more."}
    assert "secret" in capsys.readouterr().err
