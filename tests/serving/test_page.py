"""What the development server sends to its page: files, headers, and the description of the models."""

import json
import re
import tomllib
import urllib.request
from pathlib import Path

import pytest
from exported_models import CLASSES
from served_models import ask

from karpa_tf.serving import page

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in page.FOLDER.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_page_is_served_and_allows_no_other_origin(server, name):
    path = "/" if name == "index.html" else f"/page/{name}"
    with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}{path}") as answer:
        headers, body = answer.headers, answer.read()
    assert body == (page.FOLDER / name).read_bytes()
    assert headers.get_content_type() == page.TYPES[Path(name).suffix]
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == "'self'" and "script-src" not in rules and "unsafe" not in str(rules)
    assert headers["X-Content-Type-Options"] == "nosniff"
    hosts = set(re.findall(rb"(?:https?:)?//([\w.]+\.\w+)", body)) - {b"www.w3.org"}
    assert hosts == set()
    assert not re.search(rb"innerHTML\s*=[^=]|insertAdjacentHTML|document\.write|\beval\(", body)


@pytest.mark.parametrize("path", ["/page/", "/page/other.js", "/page/..%2fpage.py", "/page//etc/passwd", "/page.py"])
def test_no_other_file_is_served(server, path):
    assert ask(server, path)[0] == 404


def test_the_files_are_data_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["karpa_tf.serving"]
    assert {path for pattern in patterns for path in page.FOLDER.parent.glob(pattern)} == set(page.FOLDER.iterdir())


def test_models_are_described_with_their_forms_and_signatures(server):
    models = {model["name"]: model["versions"][0] for model in ask(server, "/page/models")[1]["models"]}
    assert {name: version["form"] for name, version in models.items()} == {
        "drawings": {"kind": "seed", "signature": "image_bytes"},
        "labeled_drawings": {"kind": "labeled_seed", "signature": "image_bytes", "classes": list(CLASSES)},
        "opinions": {"kind": "text", "signature": "serving_default"},
        "images": {"kind": "image", "signature": "serving_default"},
        "words": {"kind": "masked_text", "signature": "serving_default"},
    }
    version = models["drawings"]
    assert (version["version"], version["state"], version["error"]) == ("1", "AVAILABLE", "")
    assert list(version["signatures"]) == ["serving_default", "image_bytes", "noise"]
    assert version["signatures"]["noise"] == {
        "inputs": {"noise": {"dtype": "float32", "shape": [None, 8]}},
        "outputs": {"images": {"dtype": "uint8", "shape": [None, 16, 16, 1]}},
    }


TEXT = {"text": {"dtype": "string", "shape": [None]}}
SCORES = {"classes": {}, "scores": {}, "more": {}}


def test_the_card_selects_the_form_or_else_the_signatures():
    signatures = {
        "classify": {"inputs": TEXT, "outputs": SCORES},
        "fill": {"inputs": TEXT, "outputs": {"tokens": {}, "scores": {}}},
        "other": {"inputs": TEXT | {"other": {}}, "outputs": SCORES},
    }
    assert page.select_form(signatures, "masked_text") == {"kind": "masked_text", "signature": "fill"}
    assert page.select_form(signatures, "seed") is None
    assert page.select_form({"other": signatures["other"]}) is None
    for unknown in (None, "", "unknown", 1, ["text"], {"text": 1}):
        assert page.select_form(signatures, unknown) == {"kind": "text", "signature": "classify"}


def test_the_names_of_classes_are_those_of_the_card_if_it_lists_any():
    inputs = {name: {"dtype": "int64", "shape": [None]} for name in ("seed", "labels")}
    signatures = {"draw": {"inputs": inputs, "outputs": {"image_bytes": {}}}}
    expected = {"kind": "labeled_seed", "signature": "draw"}
    assert page.select_form(signatures, None, {"classes": ["a", 1]}) == expected | {"classes": ["a", "1"]}
    for details in (None, [], {}, {"classes": "ab"}, {"classes": None}):
        assert page.select_form(signatures, None, details) == expected


CARD = {"task": "image classification", "form": "image", "metrics": {"loss": 2.5}}
CARDS = [
    (json.dumps(CARD | {"config": {"epochs": 3}, "name": "x"}), CARD),
    ('{"metrics": [NaN, -Infinity, 1e999, 1e3]}', {"metrics": ["NaN", "-Infinity", "1e999", 1000.0]}),
    *((text, {}) for text in ("", "[1]", "{", "[" * 100_000, '{"seed": ' + "1" * 5000 + "}")),
    (json.dumps({"data": "x" * page.MAX_CARD_BYTES}), {}),
]


@pytest.mark.parametrize(("text", "expected"), CARDS, ids=range(len(CARDS)))
def test_known_entries_of_a_valid_card_are_returned(tmp_path, text, expected):
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "card.json").write_text(text)
    assert page.read_card(tmp_path) == expected
