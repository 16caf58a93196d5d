"""Requests that the REST interface refuses: invalid ones, with a sentence, and those of other sites."""

import pytest
from served_models import ask

IMAGES, SEEDS, WORDS = (f"/v1/models/{model}:predict" for model in ("images", "drawings", "words"))
WRONG = [
    (IMAGES, b"\xff", 400, "not JSON"),
    (IMAGES, b"[1]", 400, "must be a JSON object"),
    (IMAGES, b'{"instances":' + b"[" * 50_000, 400, "not JSON"),
    (IMAGES, b'{"instances":' + b"[" * 800 + b"]" * 800 + b"}", 400, "Input 'image_bytes'"),
    (IMAGES, b'{"instances":[' + b"9" * 5000 + b"]}", 400, "not JSON"),
    (IMAGES, {"inputs": [1], "instances": [1]}, 400, "either 'instances', a list of rows, or 'inputs'"),
    (IMAGES, {"instances": []}, 400, "must be a list"),
    (IMAGES, {"instances": [1]}, 400, "expected a string or {'b64': ...}, received 1"),
    (IMAGES, {"instances": [{"b64": "!"}]}, 400, "no base64"),
    (IMAGES, {"instances": [{"other": 1}]}, 400, "Expected the inputs ['image_bytes'], received ['other']"),
    (IMAGES, {"instances": ["x", {"image_bytes": "x"}]}, 400, "Row 0 of 'instances'"),
    (IMAGES, {"instances": ["\ud800"]}, 400, "surrogates not allowed"),
    (IMAGES, {"instances": ["no image"]}, 400, "Unknown image file format"),
    (IMAGES, {"signature_name": 1, "instances": [1]}, 400, "must be a string"),
    (IMAGES, {"signature_name": "no", "instances": [1]}, 400, "has no signature 'no'; it has ['classify',"),
    (SEEDS, {"instances": [0.5]}, 400, "Input 'seed' cannot be read as a tensor of int64"),
    (SEEDS, {"signature_name": "noise", "instances": [[1], [1, 2]]}, 400, "non-rectangular"),
    (SEEDS, {"signature_name": "noise", "instances": [[1] * 7]}, 400, "Matrix size-incompatible"),
    (WORDS, {"signature_name": "token_ids", "instances": [[1]]}, 400, "name the value of each"),
    ("/v1/models/none:predict", {"instances": [1]}, 404, "any version of model 'none'"),
    ("/v1/models/drawings/versions/9:predict", {"instances": [1]}, 404, "version 9 of model 'drawings'"),
    ("/v1/models/images:classify", {}, 400, "is no request"),
    ("/v1/models/..%2f..%2fetc%2fpasswd", None, 404, "../../etc/passwd"),
    ("/v1/models/drawings/versions/9", None, 404, "no version 9 of model 'drawings'"),
    ("/elsewhere", None, 404, "Not Found"),
    (IMAGES, b" " * 2_000_001, 413, "Maximum request body size 2000000 exceeded"),
]


@pytest.mark.parametrize(("path", "body", "code", "words"), WRONG, ids=range(len(WRONG)))
def test_an_invalid_request_is_refused_with_a_sentence(server, path, body, code, words):
    found, answer = ask(server, path, body)
    assert found == code, answer
    assert set(answer) == {"error"} and words in answer["error"] and len(answer["error"]) < 600


def test_there_is_no_limit_of_rows(server):
    code, answer = ask(server, SEEDS, {"signature_name": "image_bytes", "instances": list(range(600))})
    assert code == 200 and len(answer["predictions"]) == 600


def test_outputs_without_a_common_first_dimension_need_columns(server, monkeypatch):
    with server.manager.use("drawings") as servable:
        run = servable.run
        monkeypatch.setattr(servable, "run", lambda *asked: run(*asked) | {"other": run(*asked)["images"][:1]})
        code, answer = ask(server, SEEDS, {"instances": [1, 2]})
        assert code == 400 and "no common first dimension" in answer["error"]
        assert ask(server, SEEDS, {"inputs": [1, 2]})[0] == 200


@pytest.mark.parametrize("host", ["evil.com", "127.0.0.1.evil.com", "10.0.0.1", "localhost.evil.com:80", "["])
def test_a_foreign_host_name_is_refused(server, host):
    code, answer = ask(server, "/v1/models/drawings", Host=host)
    assert code == 403 and "localhost" in answer["error"]


def test_requests_from_other_origins_are_refused(server):
    own = f"127.0.0.1:{server.rest_port}"
    for host in (own, f"localhost:{server.rest_port}", f"[::1]:{server.rest_port}", "models.localhost"):
        assert ask(server, SEEDS, {"instances": [1]}, Host=host, Origin=f"http://{host}")[0] == 200
    for origin in ("http://evil.com", "null", f"http://{own}.evil.com", "http://127.0.0.1:1"):
        assert ask(server, SEEDS, {"instances": [1]}, Origin=origin)[0] == 403


def test_an_unexpected_error_is_answered_without_its_traceback(server, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr("karpa_tf.serving.rest.to_json_rows", broken)
    code, answer = ask(server, SEEDS, {"instances": [1]})
    assert (code, answer) == (500, {"error": "Internal error: RuntimeError; the server's log says more."})
    assert "secret" in capsys.readouterr().err
