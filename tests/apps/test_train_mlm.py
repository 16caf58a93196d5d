"""The programs for language models as a user runs them: from raw text to filled blanks and sorted texts."""

import csv
import dataclasses
import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from programs import refusal, run_program

from apps import export, fill_mask, finetune_text, train_mlm
from karpa_tf import cli
from karpa_tf.configs.masked_lm import MaskedLMConfig
from karpa_tf.data.text.token_cache import is_held_out
from karpa_tf.errors import UserError
from karpa_tf.export.examples import load_texts

DATA = ("smoke", "--data", "text.txt", "--vocabulary-size", "85", "--batch-size", "8")
SMALL = (*DATA, "--length", "16", "--width", "16", "--depth", "1", "--heads", "2", "--intermediate-dim", "32")

COLOURS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red", "lemon": "yellow"}


def write_text(path="text.txt", count=400):
    """Documents from which it can be learned what has which color."""
    rng = np.random.default_rng(0)
    things = rng.choice(list(COLOURS), (count, 3))
    lines = [" and ".join(f"the {thing} is {COLOURS[thing]}" for thing in row) for row in things]
    Path(path).write_text("\n\n".join(f"{line}." for line in lines))


def config_of(*words):
    return cli.parse(train_mlm.PRESETS, train_mlm.__doc__, args=list(words))


def train(*words):
    return train_mlm.run(config_of(*SMALL, "--export-dir", "models", *words))


def tune(*words):
    return finetune_text.run(cli.parse(finetune_text.PRESETS, finetune_text.__doc__, args=list(words)))


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The run of a model that has learned the colors, and the folder where its text and its SavedModel are."""
    folder = tmp_path_factory.mktemp("colors")
    write_text(folder / "text.txt")
    places = ("--data", f"{folder}/text.txt", "--run", f"{folder}/run", "--export-dir", f"{folder}/models")
    return train_mlm.run(config_of(*SMALL, *places, "--epochs", "20", "--learning-rate", "0.01")), folder


def test_a_run_leaves_everything_a_user_looks_for(learned):
    run, _ = learned
    made = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert {"config.yaml", "run.json", "metrics.csv", "curves.png", "vocabulary.txt", "vocabulary.json"} <= made
    assert {"eval/report.json", "eval/examples.txt"} <= made and any(name.startswith("tensorboard/") for name in made)
    last = run.read_metrics()[-1]
    names = {"step", "epoch", "loss", "accuracy", "tokens_per_second", "val_loss", "val_accuracy", "val_perplexity"}
    assert set(last) == names and last["val_perplexity"] == pytest.approx(math.exp(last["val_loss"]), rel=1e-4)
    data = run.metadata()["data"]
    assert data["train"]["documents"] + data["held_out"]["documents"] == 400


def test_the_report_beats_guessing_by_frequency_and_agrees_with_the_last_epoch(learned):
    run, _ = learned
    report = json.loads((run.eval / "report.json").read_text())
    last = run.read_metrics()[-1]
    assert report["loss"] == pytest.approx(last["val_loss"], rel=1e-3)
    assert report["accuracy"] == pytest.approx(last["val_accuracy"], abs=1e-3)
    assert report["perplexity"] == pytest.approx(math.exp(report["loss"]))
    assert report["perplexity"] < report["unigram_perplexity"] / 2
    assert report["accuracy"] > 2 * report["unigram_accuracy"]


def test_examples_show_the_guess_and_the_truth(learned):
    run, _ = learned
    text = (run.eval / "examples.txt").read_text()
    assert "[" in text and "[CLS]" not in text and text.count("\n\n") >= 5


def test_blanks_are_filled_with_what_was_learned_from_the_run_and_from_the_export(learned, capsys):
    run, folder = learned
    texts = ("the sky is [MASK] and the grass is [MASK].", "the lemon is [MASK] and the snow is white.")
    found = fill_mask.run(fill_mask.Config(run=str(run.path), texts=texts, top=3, out="out.csv"))
    assert [[words[0][0] for words in blanks] for _, blanks in found] == [["blue", "green"], ["yellow"]]
    assert "the sky is blue and the grass is green." in capsys.readouterr().out
    exported = fill_mask.run(fill_mask.Config(saved_model=str(folder / "models" / "bert_smoke"), texts=texts, top=3))
    for (_, ours), (_, theirs) in zip(found, exported, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            assert [word for word, _ in mine] == [word for word, _ in other]
            assert [p for _, p in mine] == pytest.approx([p for _, p in other], abs=1e-5)
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 and rows[0] == rows[0] | {"text": texts[0], "blank": "1", "rank": "1", "word": "blue"}


def answers_alike(one, other, text):
    """Raises `AssertionError` unless two versions answer the same to a text."""
    first, second = (tf.saved_model.load(str(folder)).signatures["serving_default"] for folder in (one, other))
    expected, answer = first(text=tf.constant([text])), second(text=tf.constant([text]))
    np.testing.assert_allclose(answer["scores"], expected["scores"], atol=1e-6)


@pytest.mark.slow
def test_a_run_is_exported_again_without_its_text_and_keeps_sentences_that_were_held_out(learned):
    run, folder = learned
    kept = load_texts(run)
    assert len(kept) == 8 and all(sentence in (folder / "text.txt").read_text() for sentence in kept)
    documents = [
        document for document in (folder / "text.txt").read_text().split("\n\n") if is_held_out(document, 0.05)
    ]
    assert all(any(document.startswith(sentence) for document in documents) for sentence in kept)
    moved = Path(shutil.copytree(run.path, "moved"))
    again = export.run(export.Config(run=str(moved), last=True))
    answers_alike(run.metadata()["saved_model"], again, "the sky is [MASK].")
    card = json.loads((again / "assets.extra" / "card.json").read_text())
    assert card["details"]["example"].count("[MASK]") == 1 and card["real_examples"]
    assert card["metrics"]["perplexity"] == json.loads((run.eval / "report.json").read_text())["perplexity"]


def test_texts_come_from_a_file_and_from_standard_input(learned, monkeypatch, capsys):
    run, _ = learned
    Path("lines.txt").write_text("the sky is [MASK].\n\nno blank\n")
    assert len(fill_mask.run(fill_mask.Config(run=str(run.path), file="lines.txt"))) == 1
    assert "There is no [MASK] in 'no blank'" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("the grass is [MASK].\nthe snow is [MASK].\n"))
    found = fill_mask.run(fill_mask.Config(run=str(run.path), file="-"))
    assert [blanks[0][0][0] for _, blanks in found] == ["green", "white"]


def test_blanks_beyond_the_models_length_are_said(learned, capsys):
    run, _ = learned
    ((_, blanks),) = fill_mask.run(fill_mask.Config(run=str(run.path), texts=("[MASK] " * 20,)))
    assert len(blanks) == 14
    assert "only the first 14 blanks are within the model's length" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"texts": ("nothing to fill",)}, "There is no [MASK] in 'nothing to fill'"),
        ({"texts": ()}, "Name a text"),
        ({"texts": ("[MASK]",), "top": 11}, "--top must be from 1 to 10"),
        ({"texts": ("[MASK]",), "run": None}, "Name one of --run DIR and --saved-model DIR"),
        ({"texts": ("[MASK]",), "run": "missing"}, "--run missing holds no run of train_mlm"),
        ({"file": "missing.txt"}, "--file missing.txt cannot be read"),
        ({"texts": ("[MASK]",), "out": "missing/out.csv"}, "--out missing/out.csv cannot be written"),
    ],
)
def test_what_cannot_be_filled_is_refused(learned, changes, says):
    config = {"run": str(learned[0].path)} | changes
    with pytest.raises(UserError) as caught:
        fill_mask.run(fill_mask.Config(**config))
    assert says in str(caught.value)


@pytest.mark.slow
def test_a_run_with_next_sentences_in_words_and_mixed_precision():
    write_text()
    words = (
        "--nsp",
        "--mask-units",
        "words",
        "--epochs",
        "2",
        "--precision",
        "mixed_bfloat16",
        "--gradient-accumulation-steps",
        "2",
    )
    run = train(*words, "--run", "run", "--batch-size", "16")
    assert {"next_accuracy", "val_next_accuracy"} <= run.read_metrics()[-1].keys()
    assert 0 <= json.loads((run.eval / "report.json").read_text())["next_accuracy"] <= 1
    text = ("the sky is [MASK].",)
    assert fill_mask.run(fill_mask.Config(run="run", texts=text))[0][1]


@pytest.mark.slow
def test_two_replicas_train_the_same_run():
    write_text()
    # SGD, since Adam divides what differs by rounding alone by its own size.
    words = ("--optimizer", "sgd", "--weight-decay", "0", "--learning-rate", "0.5", "--epochs", "2")
    alone, shared = (train(*words, "--strategy", name, "--run", name) for name in ("none", "mirrored"))
    assert shared.metadata()["device"].startswith("2 x CPU")
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert shared.read_metrics()[-1][name] == pytest.approx(alone.read_metrics()[-1][name], abs=1e-4)


@pytest.mark.slow
def test_pretraining_goes_on_from_a_run_with_its_vocabulary_on_other_text(learned):
    run, _ = learned
    Path("other.txt").write_text("\n".join(f"the sky is blue and the snow is white {i}." for i in range(300)))
    words = (
        "--data",
        "other.txt",
        "--init",
        str(run.path),
        "--norm",
        "pre",
        "--epochs",
        "1",
        "--learning-rate",
        "1e-6",
    )
    other = train(*words, "--run", "other")
    assert (other.path / "vocabulary.txt").read_text() == (run.path / "vocabulary.txt").read_text()
    assert other.read_metrics()[0]["loss"] < 3.5 < math.log(85)


@pytest.mark.slow
def test_a_set_is_measured_on_its_own_validation_split_and_a_file_on_another():
    write_text()
    write_text("held_out.txt", 50)
    run = train("--validation-data", "held_out.txt", "--run", "run")
    data = run.metadata()["data"]
    assert (data["train"]["documents"], data["held_out"]["documents"]) == (400, 50)


@pytest.mark.slow
def test_nothing_held_out_is_said_and_nothing_is_measured(capsys):
    write_text()
    run = train("--held-out-fraction", "0", "--run", "run")
    assert "Nothing is held out" in capsys.readouterr().err
    assert not (run.eval / "report.json").exists() and "val_loss" not in run.read_metrics()[-1]


def test_a_dry_run_writes_nothing(capsys):
    write_text()
    before = set(Path().rglob("*"))
    assert train("--dry-run") is None
    assert "Would write" in capsys.readouterr().out
    assert {path for path in Path().rglob("*") if "cache" not in path.parts} == {
        p for p in before if "cache" not in p.parts
    }


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "missing"], "there is no such file, folder or pattern"),
        (["--data", "empty.txt"], "holds no text: 1 file, all empty"),
        (["--data", "latin.txt"], "byte 1 is 0xe4; name its encoding by --encoding"),
        (["--data", "binary.txt"], "is no text file: it holds zero bytes"),
        (["--vocabulary-size", "5000"], "tokens only; choose --vocabulary-size"),
        (["--sequence-length", "17"], "--sequence-length must be from 8 to the model's --length, 16; received 17"),
        (["--batch-size", "4096"], "rows of 16 tokens, fewer than --batch-size 4096"),
        (["--init", "missing"], "--init missing holds no run of train_mlm"),
        (["--vocabulary", "missing.txt"], "The vocabulary missing.txt cannot be read"),
        (["--encoding", "utf-9"], "--encoding utf-9 is not known"),
        (["--mask-rate", "1"], "--mask-rate must be above 0 and below 1"),
        (["--mask-rate", "nan"], "--mask-rate must be above 0 and below 1"),
        (["--heads", "3"], "--heads must divide --width"),
        (["--vocabulary-size", "4"], "--vocabulary-size must be at least 6"),
        (["--mask-unit", "words"], "did you mean --mask-units?"),
        (["--validation-data", "missing"], "there is no such file"),
    ],
)
def test_bad_input_ends_in_a_sentence_and_leaves_nothing(words, says, capsys):
    write_text()
    Path("empty.txt").touch()
    Path("latin.txt").write_bytes("Käse".encode("latin-1"))
    Path("binary.txt").write_bytes(b"\x7fELF\x00\x01")
    assert says in refusal(capsys, lambda: train(*words))


def test_an_init_of_another_shape_is_refused_with_the_differences(learned, capsys):
    write_text()
    said = refusal(capsys, lambda: train("--init", str(learned[0].path), "--width", "24"))
    assert "has another network: width 16, not 24." in said


SENTENCES = [f"the {thing} is {color} {end}" for thing, color in COLOURS.items() for end in "abcdefghij"]


def write_sentences():
    """Texts whose class is whether what they say is white or black."""
    rows = [f"{text}\t{'gray' if ' white' in text or ' black' in text else 'color'}" for text in SENTENCES]
    Path("texts.tsv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
def test_tuning_leaves_a_report_and_a_served_classifier(learned):
    run, _ = learned
    write_sentences()
    words = ("--init", str(run.path), "--data", "texts.tsv", "--epochs", "20", "--batch-size", "8", "--dropout", "0")
    tuned = tune(*words, "--learning-rate", "0.01", "--run", "tuned", "--export-dir", "models")
    files = {path.name for path in tuned.eval.iterdir()}
    assert {"report.json", "confusion.csv", "confusion.png", "reliability.png", "mistakes.csv"} <= files
    report = json.loads((tuned.eval / "report.json").read_text())
    assert report["accuracy"] > 0.9 and report["classes"].keys() == {"color", "gray"}
    serve = tf.saved_model.load(tuned.metadata()["saved_model"]).signatures["serving_default"]
    answer = serve(text=tf.constant(["the snow is white a", "the lemon is yellow b"]))
    assert answer["scores"].numpy().argmax(1).tolist() == [1, 0]
    config = yaml.safe_load(tuned.config_file.read_text())
    assert config["model"]["width"] == 16 and (tuned.path / "vocabulary.txt").exists()
    Path("texts.tsv").rename("gone.tsv")
    answers_alike(
        tuned.metadata()["saved_model"], export.run(export.Config(run="tuned", name="again")), "the snow is a"
    )
    Path("gone.tsv").rename("texts.tsv")
    kept = load_texts(tuned)
    assert len(kept) == 8 and all(f"{text}\t" in Path("texts.tsv").read_text() for text in kept)
    before = tuned.read_metrics()
    again = tune("--config", str(tuned.config_file), "--run", "tuned")
    assert again.read_metrics() == before


def test_frozen_features_and_new_weights(learned, capsys):
    run, _ = learned
    write_sentences()
    words = ("--init", str(run.path), "--data", "texts.tsv", "--epochs", "1", "--batch-size", "8", "--dry-run")
    tune(*words, "--freeze", "features")
    assert "of which 306 learn" in capsys.readouterr().out  # 16 x 16 + 16 of the pooler, 16 x 2 + 2 of the head
    assert tune(*words, "--scratch") is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "texts.tsv"], "Name the run of train_mlm to start from: --init RUN"),
        (["--data", "texts.tsv", "--init", "missing"], "--init missing holds no run of train_mlm"),
        (["--data", "missing", "--init", "RUN"], "--data missing: there is no such file or folder"),
        (["--data", "texts.tsv", "--init", "RUN", "--sequence-length", "99"], "is more than the 16 that the model"),
        (
            ["--data", "texts.tsv", "--init", "RUN", "--batch-size", "999"],
            "--batch-size 999 is larger than the training",
        ),
        (["--data", "texts.tsv", "--init", "RUN", "--scratch", "--freeze", "features"], "exclude each other"),
        (["--data", "texts.tsv", "--init", "RUN", "--text-field", "body"], "has no body"),
    ],
)
def test_tuning_that_cannot_be_is_refused(learned, words, says, capsys):
    write_sentences()
    words = [str(learned[0].path) if word == "RUN" else word for word in words]
    assert says in refusal(capsys, lambda: tune(*words))


@pytest.mark.parametrize("name", list(train_mlm.PRESETS))
def test_every_preset_can_be_written_down_and_read_again(name):
    config = config_of(name)
    assert isinstance(config, MaskedLMConfig) and dataclasses.asdict(config)["model"]["family"] == "bert"


@pytest.mark.slow
def test_the_program_runs_in_silence_and_without_a_network():
    write_text()
    done = run_program("apps.train_mlm", *SMALL, "--run", "run", "--export-dir", "models")
    assert done.returncode == 0 and done.stderr == ""
    assert "Held out" in done.stdout and "models/bert_smoke/1" in done.stdout
    done = run_program("apps.fill_mask", "--run", "run", "the sky is [MASK].")
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("the sky is ")
