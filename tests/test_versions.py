"""The writing of versions: what is in them, what is refused, and what several exporters do to each other."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.export import versions
from karpa_tf.export.meta_graph import list_versions
from karpa_tf.export.versions import Export, load_version, write


def constant(number):
    """Returns the `Export` of a model that answers always the same."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="any")])
    def answer(any):
        return {"number": tf.constant(number)}

    return Export(
        "image_classification", {"serving_default": answer}, (), {"serving_default": [{"any": np.zeros(1, np.float32)}]}
    )


def answer_of(path):
    return int(load_version(path)["serving_default"](any=tf.zeros(1))["number"])


def visible(base):
    return sorted(path.name for path in base.iterdir() if not path.name.startswith("."))


def hidden(base):
    return sorted(path.name for path in base.iterdir() if path.name.startswith(".") and path.is_dir())


def test_versions_count_up_and_a_published_one_is_not_touched(tmp_path):
    base = tmp_path / "model"
    (base / "7").mkdir(parents=True)
    (base / "notes").mkdir()
    assert write(base, constant(1)) == base / "8"
    assert write(base, constant(2)) == base / "9"
    assert answer_of(base / "8") == 1 and answer_of(base) == 2
    assert list_versions(base) == [7, 8, 9]


def test_a_version_taken_meanwhile_is_left_alone_and_the_card_says_the_next(tmp_path, monkeypatch):
    def another_process_publishes(export, signatures):
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "file").write_text("other")

    monkeypatch.setattr(versions, "compare", another_process_publishes)
    numbers = iter([[], [1], [1]])  # the other one is not there yet when the number is first chosen
    monkeypatch.setattr(versions, "list_versions", lambda base: next(numbers))
    assert write(tmp_path, constant(1)) == tmp_path / "2"
    assert (tmp_path / "1" / "file").read_text() == "other"
    assert json.loads((tmp_path / "2" / "assets.extra" / "card.json").read_text())["version"] == 2
    assert "version 2" in (tmp_path / "2" / "assets.extra" / "MODEL_CARD.md").read_text()
