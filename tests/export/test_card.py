"""Model cards: `card.json`, its page, and the calls that the page shows."""

import dataclasses
import json
import re
import subprocess

import exported_models
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from karpa_tf.configs.dcgan import TINY
from karpa_tf.export import card
from karpa_tf.export.masked_lm import mask_one_word
from karpa_tf.models.dcgan import make_generator


def test_the_card_describes_the_model_its_origin_and_its_signatures(version):
    content = json.loads((version / "assets.extra" / card.FILE).read_text())
    assert (content["name"], content["version"], content["seed"]) == ("my_gan", 1, 7)
    assert (content["task"], content["form"]) == ("image_generation", "seed")
    assert content["config"]["learning_rate"] == 0.5 and content["metrics"] == {"g_loss": 0.123456789}
    assert content["versions"]["tensorflow"] == tf.__version__ and content["formats"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", content["created"])
    assert content["details"] == {"latent_dim": 8, "shape": [16, 16, 1]}
    images = {"images": {"dtype": "uint8", "shape": [None, 16, 16, 1]}}
    assert content["signatures"] == {
        "serving_default": {"inputs": {"seed": {"dtype": "int64", "shape": [None]}}, "outputs": images},
        "noise": {"inputs": {"noise": {"dtype": "float32", "shape": [None, 8]}}, "outputs": images},
        "image_bytes": {
            "inputs": {"seed": {"dtype": "int64", "shape": [None]}},
            "outputs": {"image_bytes": {"dtype": "string", "shape": [None]}},
        },
    }
    # Tracking the model as well would save its weights twice.
    assert content["weight_count"] == make_generator(TINY).count_params()


def test_a_card_is_valid_json(tmp_path):
    export = dataclasses.replace(exported_models.make_tiny_generator(), calls={})
    metrics = {"perplexity": float("inf"), "list": [float("nan"), 1.5]}
    metadata = {"weight_count": 1, "signatures": {}, "metrics": metrics}
    card.save(tmp_path, card.make("model", export, metadata), export)
    content = json.loads((tmp_path / card.FILE).read_text(), parse_constant=pytest.fail)
    assert content["metrics"] == {"perplexity": "inf", "list": ["nan", 1.5]}
    assert "- perplexity: inf" in (tmp_path / card.PAGE).read_text()


def test_the_page_contains_the_entries_of_the_card(version):
    page = (version / "assets.extra" / card.PAGE).read_text()
    assert page.startswith("# my_gan, version 1\n\nThis model generates images of 16x16x1")
    for text in (
        "- name: digits",
        "- skipped: 2",
        "Measured on something.\n\n- g loss: 0.123457",
        "- weights: epoch 3, the newest",
        '"learning_rate": 0.5',
        "- input: `noise`, float32 (any, 8)",
        "http://localhost:8501/v1/models/my_gan:predict",
        f"tensorflow {tf.__version__}",
    ):
        assert text in page, text
    assert "data_dir" not in page and "None" not in page


def test_the_page_of_a_model_without_a_run_says_that_its_origin_is_unknown():
    export = exported_models.make_tiny_generator()
    metadata = {"weight_count": 3, "signatures": {}}
    page = card.format_page(card.make("model", export, metadata), dataclasses.replace(export, calls={}))
    assert page.count("Unknown: the model was exported without a run folder.") == 2
    assert "These weights were not evaluated." in page


def test_every_signature_can_be_called_as_the_page_shows(export, tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save("image.jpg")
    assert export.calls.keys() == export.functions.keys()
    for name, call in export.calls.items():
        outputs = eval(f"function({call.python})", {"tf": tf, "function": export.functions[name], "open": open})
        assert all(len(value) for value in outputs.values())
        if call.rest_body:
            body = re.sub(r"'\$\(.*?\)'", "AAAA", "{" + call.rest_body + "}")  # as the shell would substitute it
            assert "'" not in body
            is_classify = call.rest_method == "classify"
            rows = json.loads(body)["examples" if is_classify else "instances"]
            inputs = {spec.name for spec in export.functions[name].input_signature}
            assert all(set(row) == ({"image_bytes"} if is_classify else inputs) for row in rows)


@pytest.mark.parametrize("text", ['it\'s "so" 😀 \\ 日本 $HOME `ls`', "a\nb"])
def test_an_example_with_any_characters_can_be_copied_into_python_and_a_shell(text):
    export = exported_models.make_tiny_masked_lm(texts=(text,))
    for name in ("serving_default", "embed"):
        call = export.calls[name]
        example = eval(f"dict({call.python})", {"tf": tf})["text"].numpy()[0].decode()
        assert example == mask_one_word(text) == export.details["example"]
        command = ["sh", "-c", f"printf %s '{{{call.rest_body}}}'"]
        body = subprocess.run(command, capture_output=True, text=True).stdout
        assert json.loads(body)["instances"] == [{"text": example}]
