"""The programs that mark spans of texts as a user runs them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from programs import refusal
from tiny_texts import COLORS, pretrain, write_tagged

from apps import export, finetune_tagger, tag_text
from karpa_tf import cli

pytestmark = pytest.mark.slow

SENTENCE = "the sky is blue the coal is black ."


def finetune(*words):
    return finetune_tagger.run(cli.parse(finetune_tagger.PRESETS, "", args=[*words, "--export-dir", "models"]))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="module")
def tuned(pretrained, tmp_path_factory):
    """The run of a tagger that knows things and colors."""
    folder = tmp_path_factory.mktemp("tuned")
    write_tagged(folder / "tagged.conll")
    words = (
        "--init",
        pretrained,
        "--data",
        str(folder / "tagged.conll"),
        "--run",
        str(folder / "run"),
        "--name",
        "names",
    )
    flags = ("--epochs", "4", "--batch-size", "8", "--learning-rate", "0.02", "--export-dir", str(folder / "models"))
    return finetune_tagger.run(cli.parse(finetune_tagger.PRESETS, "", args=[*words, *flags]))


def test_a_tagger_is_evaluated_beside_its_baselines(tuned):
    report = json.loads((tuned.eval / "report.json").read_text())
    assert report["f1"] > 0.95 and report["classes"].keys() == {"THING", "COLOR"}
    assert report["span_count"] == sum(values["count"] for values in report["classes"].values()) > 50
    by_list, by_words = report["baselines"]
    # All things and colors of this language are in the training texts.
    assert (
        by_list["f1"] == by_words["f1"] == 1 and by_list["f1_gain_low"] <= report["f1"] - 1 <= by_list["f1_gain_high"]
    )
    page = (tuned.path / "report.html").read_text()
    assert '<mark class="span c' in page and "Not found" not in page and "spans that the model finds" in page.lower()


def test_a_run_its_export_and_the_library_find_the_same_spans(tuned, capsys):
    saved_model = tuned.metadata()["saved_model"]
    texts = (SENTENCE, "The Sky is BLUE, the snow is white!", "nothing here", "")
    flags = {"texts": texts, "out": "spans.csv", "page": "marked.html"}
    results = tag_text.run(tag_text.Config(run=str(tuned.path), **flags))
    expected = [(4, 7, "THING"), (11, 15, "COLOR"), (20, 24, "THING"), (28, 33, "COLOR")]
    assert results[0][0] == SENTENCE and [span[:3] for span in results[0][1]] == expected
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "the [sky THING] is [blue COLOR] the [coal THING] is [black COLOR] ."
    exported = tag_text.run(tag_text.Config(saved_model=saved_model, texts=texts))
    for (_, ours), (_, theirs) in zip(results, exported, strict=True):
        assert [span[:3] for span in ours] == [span[:3] for span in theirs]
        np.testing.assert_allclose([span[3] for span in ours], [span[3] for span in theirs], atol=1e-5)
    with open("spans.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(spans) for _, spans in results)
    assert rows[0] == rows[0] | {"text": SENTENCE, "start": "4", "end": "7", "span": "sky", "type": "THING"}
    assert Path("marked.html").read_text().count("<mark") == len(rows)
    assert 0.5 < float(rows[0]["score"]) <= 1


def test_ends_are_counted_in_characters_and_in_bytes(tuned):
    serve = tf.saved_model.load(tuned.metadata()["saved_model"]).signatures["serving_default"]
    text = "😀 é the sky is blue 日本 the coal is black"
    answer = {name: value.numpy()[0].tolist() for name, value in serve(text=tf.constant([text])).items()}
    spans = [text[start:end] for start, end in zip(answer["starts"], answer["ends"], strict=True)]
    in_bytes = zip(answer["byte_starts"], answer["byte_ends"], strict=True)
    assert [text.encode()[start:end].decode() for start, end in in_bytes] == spans
    assert {"sky", "blue", "coal", "black"} <= set(spans)
    # Bytes that are no UTF-8 are one character each.
    wrong = b"\xff\xfe the sky is blue"
    answer = serve(text=tf.constant([wrong, b"", b"the sky"]))
    row = {name: value.numpy()[0] for name, value in answer.items()}
    assert b"sky" in [wrong[s:e] for s, e in zip(row["byte_starts"], row["byte_ends"], strict=True)]
    assert (answer["starts"].numpy()[1] == -1).all() and (answer["types"].numpy()[1] == b"").all()
    assert (answer["scores"].numpy()[1] == 0).all()


def test_texts_longer_than_the_model_are_read_to_their_end(tuned):
    text = " ".join([SENTENCE] * 12)
    [(_, spans)] = tag_text.run(tag_text.Config(run=str(tuned.path), texts=(text,)))
    assert len(spans) >= 44 and spans[-1][0] > len(text) - 20


def test_a_run_is_exported_again_and_resumed_without_training(tuned, capsys):
    before = tuned.read_metrics()
    again = export.run(export.ExportConfig(run=str(tuned.path), name="again", export_dir="models"))
    one, two = (
        tf.saved_model.load(str(folder)).signatures["serving_default"](text=tf.constant([SENTENCE]))["starts"]
        for folder in (tuned.metadata()["saved_model"], again)
    )
    np.testing.assert_array_equal(one, two)
    words = ["--config", str(tuned.config_file), "--run", str(tuned.path)]
    assert finetune_tagger.run(cli.parse(finetune_tagger.PRESETS, "", args=words)).read_metrics() == before
    assert "resumed after epoch 4" in capsys.readouterr().out


def test_weights_and_class_weights_and_parts_of_speech(pretrained, capsys):
    lines = [f"the DET\n{thing} NOUN\nis VERB\n{color} ADJ\n\n" for thing, color in COLORS.items()]
    Path("pos.txt").write_text("".join(lines * 5))
    words = ("--init", pretrained, "--data", "pos.txt", "--batch-size", "4", "--epochs", "2", "--learning-rate", "0.02")
    run = finetune(*words, "--scratch", "--class-weights", "balanced", "--run", "run", "--label-smoothing", "0.1")
    assert json.loads((run.eval / "report.json").read_text())["classes"].keys() == {"ADJ", "DET", "NOUN", "VERB"}
    finetune(*words, "--freeze", "features", "--dry-run")
    assert "of which 153 are trained" in capsys.readouterr().out  # 16 x 9 + 9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "tagged.conll"], "Name a pretrained masked language model to start from: --init RUN"),
        (["--data", "missing", "--init", "RUN"], "--data missing: there is no such file or folder"),
        (
            ["--data", "tagged.conll", "--init", "RUN", "--tag-column", "9"],
            "has columns 1 to 3; received --tag-column 9",
        ),
        (["--data", "tagged.conll", "--init", "RUN", "--tag-column", "0"], "--tag-column must be above 0"),
        (["--data", "tagged.conll", "--init", "RUN", "--jit", "on"], "--jit on cannot be used here"),
        (["--data", "tagged.conll", "--init", "RUN", "--batch-size", "999"], "--batch-size 999 is larger"),
    ],
)
def test_wrong_flags_are_refused(pretrained, words, message, capsys):
    write_tagged("tagged.conll", 40)
    assert message in refusal(capsys, lambda: finetune(*[pretrained if word == "RUN" else word for word in words]))


def test_tag_text_refuses_what_it_cannot_mark(pretrained, tuned, capsys):
    def tag(**flags):
        return refusal(capsys, lambda: tag_text.run(tag_text.Config(**flags)))

    assert "Give a text such as" in tag(run=str(tuned.path))
    assert "holds no run of finetune_tagger" in tag(run=pretrained, texts=("a",))
    page = Path("missing/page.html")
    assert f"--page {page} cannot be written" in tag(run=str(tuned.path), texts=("a",), page=str(page))
