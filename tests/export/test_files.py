"""What lies beside the graph of a version: warm-up requests, the card, labels and vocabulary."""

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import exported_models
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from karpa_tf.configs.gan import TINY
from karpa_tf.export import card, examples, inspection, warm_up
from karpa_tf.export.masked_lm import mask_one_word
from karpa_tf.export.versions import write
from karpa_tf.models.dcgan import make_generator
from karpa_tf.training.run import Run

EXPORTS = {
    "image_classification": exported_models.make_tiny_classifier,
    "image_generation": exported_models.make_tiny_generator,
    "masked_lm": exported_models.make_tiny_masked_lm,
    "text_classification": exported_models.make_tiny_text_classifier,
}


@pytest.fixture(scope="module", params=EXPORTS)
def export(request):
    """The `Export` of every task; nothing is written."""
    made = EXPORTS[request.param]()
    assert made.task == request.param
    return made


def read_logs(file):
    """Returns the records of a warm-up file, as the official stubs read them."""
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def official(name, signature, request):
    """Returns the `PredictionLog` of a request, made by the official stubs."""
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    log = prediction_log_pb2.PredictionLog()
    spec = log.predict_log.request.model_spec
    spec.name, spec.signature_name = name, signature
    for key, value in request.items():
        log.predict_log.request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return log


def test_every_signature_is_warmed_up_by_its_examples_as_the_official_stubs_write_them(export, tmp_path):
    warm_up.save(tmp_path / warm_up.FILE, "model", export.examples)
    expected = [
        official("model", signature, request)
        for signature in export.functions
        for request in export.examples[signature]
    ]
    assert len(expected) >= 2 * len(export.functions)
    assert read_logs(tmp_path / warm_up.FILE) == expected


def test_a_record_is_the_same_to_the_byte():
    request = {"b": np.array([b"\x00\xff" * 100], object), "a": np.arange(300, dtype=np.int64)}
    expected = official("name", "signature", request).SerializeToString(deterministic=True)
    assert warm_up.predict_log("name", "signature", request) == expected


def test_there_are_no_more_records_than_a_server_takes(tmp_path):
    warm_up.save(tmp_path / "file", "model", {"a": [{"x": np.zeros(1)}] * 2000})
    assert sum(1 for _ in tf.data.TFRecordDataset(str(tmp_path / "file"))) == 1000


def test_examples_are_real_and_edge_cases_are_made_up(export):
    assert export.real_examples
    if export.task == "image_classification":
        shape = (3, exported_models.IMAGE_SIZE, exported_models.IMAGE_SIZE, 3)
        images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(export.examples["images"][0]["images"], images)
        decoded = [tf.io.decode_png(file).numpy() for file in export.examples["serving_default"][0]["image_bytes"]]
        np.testing.assert_array_equal(decoded, images)
        assert not np.array_equal(export.edge_cases["images"][0]["images"], images)
    if export.task == "masked_lm":
        assert export.examples["embed"][0]["text"].tolist() == list(exported_models.TEXTS)
        blanks = export.examples["serving_default"][0]["text"]
        assert [text.count("[MASK]") for text in blanks] == [1] * len(exported_models.TEXTS)
    if export.task == "text_classification":
        assert export.examples["serving_default"][0]["text"].tolist() == list(exported_models.TEXTS)
    if "text" in export.examples["serving_default"][0]:
        assert "" in export.edge_cases["serving_default"][0]["text"].tolist()


@pytest.mark.parametrize(
    ("sentence", "blank"),
    [
        ("one two three", "one [MASK] three"),
        (" ".join("abcdefghijklmnop"), "a b c d e [MASK] g h i j k l m n o p"),
        ("word", "[MASK]"),
        ("a [MASK] there", "a [MASK] there"),
        ("", ""),
    ],
)
def test_one_word_of_a_sentence_becomes_a_blank(sentence, blank):
    assert mask_one_word(sentence) == blank


def test_people_can_call_every_signature_as_the_page_says(export, tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save("image.jpg")
    assert export.calls.keys() == export.functions.keys()
    for name, call in export.calls.items():
        answer = eval(f"function({call.python})", {"tf": tf, "function": export.functions[name], "open": open})
        assert all(len(value) for value in answer.values())
        if call.rest:
            body = re.sub(r"'\$\(.*?\)'", "AAAA", "{" + call.rest + "}")  # what the shell puts there
            assert "'" not in body
            rows = json.loads(body)["examples" if call.verb == "classify" else "instances"]
            inputs = {spec.name for spec in export.functions[name].input_signature}
            assert all(set(row) == ({"image_bytes"} if call.verb == "classify" else inputs) for row in rows)


@pytest.mark.parametrize("sentence", ['it\'s "so" 😀 \\ 日本 $HOME `ls`', "a\nb"])
def test_an_example_with_any_characters_can_be_copied_into_python_and_a_shell(sentence):
    made = exported_models.make_tiny_masked_lm(texts=(sentence,))
    for name in ("serving_default", "embed"):
        call = made.calls[name]
        text = eval(f"dict({call.python})", {"tf": tf})["text"].numpy()[0].decode()
        assert text == mask_one_word(sentence) == made.details["example"]
        said = subprocess.run(["sh", "-c", f"printf %s '{{{call.rest}}}'"], capture_output=True, text=True).stdout
        assert json.loads(said)["instances"] == [{"text": text}]


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """Folder of an exported generator whose card has facts."""
    facts = {
        "config": {"learning_rate": 0.5, "data_dir": None},
        "metrics": {"g_loss": 0.123456789},
        "measured": "Measured on something.",
        "data": {"name": "digits", "count": 1797, "skipped": 2},
        "seed": 7,
        "app": "train_gan",
        "run": {"name": "a_run", "id": "1f"},
        "weights": {"kind": "last", "description": "epoch 3, the newest"},
    }
    base = tmp_path_factory.mktemp("models") / "my_gan"
    return write(base, exported_models.make_tiny_generator(), facts)


def test_the_card_says_what_it_is_where_it_comes_from_and_how_it_is_called(version):
    found = json.loads((version / "assets.extra" / card.FILE).read_text())
    assert (found["name"], found["version"], found["task"], found["seed"]) == ("my_gan", 1, "image_generation", 7)
    assert found["config"]["learning_rate"] == 0.5 and found["metrics"] == {"g_loss": 0.123456789}
    assert found["versions"]["tensorflow"] == tf.__version__ and found["formats"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["created"])
    assert found["details"] == {"latent_dim": 8, "shape": [16, 16, 1]}
    images = {"images": {"dtype": "uint8", "shape": [None, 16, 16, 1]}}
    assert found["signatures"] == {
        "serving_default": {"inputs": {"seed": {"dtype": "int64", "shape": [None]}}, "outputs": images},
        "noise": {"inputs": {"noise": {"dtype": "float32", "shape": [None, 8]}}, "outputs": images},
        "image_bytes": {
            "inputs": {"seed": {"dtype": "int64", "shape": [None]}},
            "outputs": {"image_bytes": {"dtype": "string", "shape": [None]}},
        },
    }
    assert found["weight_count"] == make_generator(TINY).count_params()  # once each, though Keras would save them twice


def test_a_card_is_json_that_every_reader_takes(tmp_path):
    made = dataclasses.replace(exported_models.make_tiny_generator(), calls={})
    facts = {"weight_count": 1, "signatures": {}, "metrics": {"perplexity": float("inf"), "list": [float("nan"), 1.5]}}
    card.save(tmp_path, card.make("model", made, facts), made)
    found = json.loads((tmp_path / card.FILE).read_text(), parse_constant=pytest.fail)
    assert found["metrics"] == {"perplexity": "inf", "list": ["nan", 1.5]}
    assert "- perplexity: inf" in (tmp_path / card.PAGE).read_text()


def test_the_page_says_the_same_in_words(version):
    page = (version / "assets.extra" / card.PAGE).read_text()
    assert page.startswith("# my_gan, version 1\n\nIt draws images of 16x16x1")
    for part in (
        "- name: digits",
        "- skipped: 2",
        "Measured on something.\n\n- g loss: 0.123457",
        "- weights: those of epoch 3, the newest",
        '"learning_rate": 0.5',
        "- in: `noise`, float32 (any, 8)",
        "http://localhost:8501/v1/models/my_gan:predict",
        f"tensorflow {tf.__version__}",
    ):
        assert part in page, part
    assert "data_dir" not in page and "None" not in page


def test_a_model_without_a_run_says_so():
    made = exported_models.make_tiny_generator()
    facts = {"weight_count": 3, "signatures": {}}
    page = card.page(card.make("model", made, facts), dataclasses.replace(made, calls={}))
    assert page.count("Not known: the model was exported without a run folder.") == 2
    assert "Nothing was measured with these weights." in page


def test_labels_and_vocabulary_lie_beside_the_graph(export):
    lines = {name: text.split("\n") for name, text in export.files.items()}
    assert all(text[-1] == "" for text in lines.values())
    expected = {}
    if export.task == "image_classification":
        expected["labels.txt"] = exported_models.CLASSES
    if export.task == "text_classification":
        expected["labels.txt"] = exported_models.TEXT_CLASSES
    if export.task in ("masked_lm", "text_classification"):
        expected["vocabulary.txt"] = exported_models.VOCABULARY.tokens
    assert {name: tuple(text[:-1]) for name, text in lines.items()} == expected


def test_a_run_keeps_a_few_images_to_the_bit_and_once(tmp_path):
    run = Run(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (100, 5, 4, 3), np.uint8)
    examples.save_images(run, images)
    kept = examples.load_images(run, (5, 4, 3))
    assert kept.shape == (8, 5, 4, 3)
    assert all(any((one == image).all() for image in images) for one in kept)
    assert (kept[0] == images[0]).all() and (kept[-1] == images[-1]).all()
    examples.save_images(run, 255 - images)
    np.testing.assert_array_equal(examples.load_images(run, (5, 4, 3)), kept)
    assert examples.load_images(run, (6, 4, 3)) is None and examples.load_texts(run) is None


def test_a_run_keeps_a_few_texts_cut_to_length_and_workers_keep_none(tmp_path):
    examples.save_texts(Run(tmp_path, writes=False), ["text"])
    assert examples.load_texts(Run(tmp_path)) is None
    examples.save_texts(Run(tmp_path), ["ä" * 5000, "b\n"])
    assert examples.load_texts(Run(tmp_path)) == ["ä" * 2000, "b\n"]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_examples_are_spread_over_all_and_none_is_taken_twice(count):
    places = examples.spread(count).tolist()
    assert len(places) == min(count, 8) == len(set(places))
    assert count == 0 or (places[0], places[-1]) == (0, count - 1)


def test_an_inspection_says_what_the_files_hold(version):
    found = inspection.describe(inspection.find_version(version.parent))
    stored = json.loads((version / "assets.extra" / card.FILE).read_text())
    assert found["path"] == str(version) and found["card"] == stored
    assert found["signatures"] == stored["signatures"] and found["weights"] == stored["weight_count"]
    assert found["sizes"]["saved_model.pb"] == (version / "saved_model.pb").stat().st_size
    assert found["sizes"]["total"] == sum(path.stat().st_size for path in Path(version).rglob("*") if path.is_file())
    assert found["ops"]["Conv2DBackpropInput"]["core"] and not found["custom_ops"]
    assert found["warm_up_requests"] == 6 and found["tags"] == ["serve"]
    assert json.loads(json.dumps(found)) == found
