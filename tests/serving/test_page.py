"""What the development server sends to its page: files, headers, and the description of the models."""

import json
import os
import re
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from served import tiny_models
from served_models import ask, serving

from karpa_tf.serving import page

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in page.FOLDER.iterdir())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(model_base_path=str(tiny_models(tmp_path_factory))) as server:
        yield server


def get(server, path):
    """Returns code, headers and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}{path}", timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_every_file_of_the_page_is_served_with_its_content_type(server):
    assert sorted(["index.html", *page.FILES]) == FILES
    for name in FILES:
        code, headers, body = get(server, "/" if name == "index.html" else f"/page/{name}")
        assert code == 200
        assert body == (page.FOLDER / name).read_bytes()
        kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
        assert headers.get_content_type() == kinds[Path(name).suffix]


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/page/models"])
def test_the_content_security_policy_allows_no_other_origin(server, path):
    _, headers, _ = get(server, path)
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == "'self'"
    assert rules["img-src"] == "'self' blob: data:"
    assert "script-src" not in rules and "unsafe" not in str(rules)
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/page/", "/page/other.js", "/page/../page.py", "/page/..%2fpage.py", "/page//etc/passwd", "/page.py"]
)
def test_no_other_file_is_served(server, path):
    code, _, body = get(server, path)
    assert code == 404
    assert b"import" not in body and b"root:" not in body


def test_no_file_names_another_host_and_none_writes_markup():
    for name in FILES:
        text = (page.FOLDER / name).read_text()
        hosts = set(re.findall(r"(?:https?:)?//([\w.]+\.\w+)", text)) - {"www.w3.org"}
        assert hosts == set(), name
        assert not re.search(r"innerHTML\s*=|insertAdjacentHTML|document\.write|\beval\(", text), name


def test_no_file_is_longer_than_250_lines():
    assert {name for name in FILES if len((page.FOLDER / name).read_text().splitlines()) > 250} <= {"page.css"}


def test_the_files_are_data_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["karpa_tf.serving"]
    assert {path for pattern in patterns for path in page.FOLDER.parent.glob(pattern)} == set(page.FOLDER.iterdir())


def test_models_are_described_with_their_forms_and_signatures(server):
    code, described = ask(server, "/page/models")
    assert code == 200
    models = {model["name"]: model for model in described["models"]}
    forms = {name: model["versions"][0]["form"] for name, model in models.items()}
    assert forms == {
        "drawings": {"kind": "seed", "signature": "image_bytes"},
        "opinions": {"kind": "text", "signature": "serving_default"},
        "images": {"kind": "image", "signature": "serving_default"},
        "words": {"kind": "masked_text", "signature": "serving_default"},
    }
    version = models["drawings"]["versions"][0]
    assert (version["version"], version["state"], version["error"]) == ("1", "AVAILABLE", "")
    assert list(version["signatures"]) == ["serving_default", "image_bytes", "noise"]
    assert version["signatures"]["noise"] == {
        "inputs": {"noise": {"dtype": "float32", "shape": [None, 8]}},
        "outputs": {"images": {"dtype": "uint8", "shape": [None, 16, 16, 1]}},
    }


TEXT = {"text": {"dtype": "string", "shape": [None]}}
CLASSES = {"classes": {}, "scores": {}, "more": {}}


def test_a_signature_with_other_inputs_has_no_form():
    assert page.select_form({"a": {"inputs": TEXT, "outputs": CLASSES}}) == {"kind": "text", "signature": "a"}
    assert page.select_form({"a": {"inputs": TEXT | {"other": {}}, "outputs": CLASSES}}) is None
    assert page.select_form({"a": {"inputs": {"text": {"dtype": "string", "shape": []}}, "outputs": CLASSES}}) is None
    assert page.select_form({"a": {"inputs": {}, "outputs": {}}}) is None


def test_the_card_selects_the_form():
    signatures = {
        "classify": {"inputs": TEXT, "outputs": CLASSES},
        "fill": {"inputs": TEXT, "outputs": {"tokens": {}, "scores": {}}},
    }
    assert page.select_form(signatures, "text") == {"kind": "text", "signature": "classify"}
    assert page.select_form(signatures, "masked_text") == {"kind": "masked_text", "signature": "fill"}
    assert page.select_form(signatures, "seed") is None


def test_exports_name_their_form_in_the_card(tmp_path_factory):
    models = tiny_models(tmp_path_factory)
    forms = {folder.name: page.read_card(folder / "1")["form"] for folder in models.iterdir()}
    assert forms == {"drawings": "seed", "opinions": "text", "images": "image", "words": "masked_text"}


@pytest.mark.parametrize("form", [None, "", "unknown", 1, ["text"], {"text": 1}])
def test_without_a_known_form_in_the_card_the_signatures_select_it(form):
    signatures = {"a": {"inputs": TEXT, "outputs": CLASSES}}
    assert page.select_form(signatures, form) == {"kind": "text", "signature": "a"}


def write_card(version, text):
    extra = version / "assets.extra"
    extra.mkdir(parents=True)
    (extra / "card.json").write_text(text)
    return version


def test_only_known_entries_of_a_card_are_returned(tmp_path):
    card = {
        "task": "image classification",
        "form": "image",
        "metrics": {"loss": 2.5},
        "config": {"epochs": 3},
        "name": "x",
    }
    described = page.read_card(write_card(tmp_path / "1", json.dumps(card)))
    assert described == {"task": "image classification", "form": "image", "metrics": {"loss": 2.5}}


def test_numbers_that_json_does_not_have_become_strings(tmp_path):
    card = page.read_card(write_card(tmp_path / "1", '{"metrics": [NaN, -Infinity, 1e999, 1e3]}'))
    assert card == {"metrics": ["NaN", "-Infinity", "1e999", 1000.0]}


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{", "[" * 100_000, '{"seed": ' + "1" * 5000 + "}", json.dumps({"data": "x" * page.CARD_BYTES})],
    ids=["empty", "list", "half", "deep", "long number", "long"],
)
def test_an_invalid_card_is_ignored(tmp_path, text):
    assert page.read_card(write_card(tmp_path / "1", text)) == {}


def test_a_card_outside_its_version_is_not_read(tmp_path):
    elsewhere = write_card(tmp_path / "elsewhere", '{"task": "secret"}')
    (tmp_path / "1" / "assets.extra").mkdir(parents=True)
    (tmp_path / "1" / "assets.extra" / "card.json").symlink_to(elsewhere / "assets.extra" / "card.json")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "assets.extra").symlink_to(elsewhere / "assets.extra")
    (tmp_path / "3" / "assets.extra").mkdir(parents=True)
    os.mkfifo(tmp_path / "3" / "assets.extra" / "card.json")
    assert [page.read_card(tmp_path / number) for number in "1234"] == [{}, {}, {}, {}]
    (tmp_path / "5").symlink_to(elsewhere)  # the manager has accepted a version that is a link
    assert page.read_card(tmp_path / "5") == {"task": "secret"}
