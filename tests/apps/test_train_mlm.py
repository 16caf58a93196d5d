"""The programs for language models as a user runs them."""

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

from apps import classify, evaluate_mlm, export, fill_mask, finetune_text, train_mlm
from karpa_tf import cli
from karpa_tf.configs.masked_lm import MaskedLMConfig
from karpa_tf.configs.masked_lm_evaluation import MaskedLMEvaluationConfig
from karpa_tf.data.text.token_cache import is_held_out
from karpa_tf.errors import UserError
from karpa_tf.export.examples import load_texts
from karpa_tf.tasks.text_classifier import NGRAMS_FILE

DATA = ("smoke", "--data", "text.txt", "--vocabulary-size", "85", "--batch-size", "8")
SIZES = {"max-sequence-length": 16, "hidden-dim": 16, "num-layers": 1, "num-heads": 2, "intermediate-dim": 32}
SMALL = (*DATA, *(word for name, size in SIZES.items() for word in (f"--{name}", str(size))))

COLORS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red", "lemon": "yellow"}


def write_text(path="text.txt", count=400):
    """Documents that tell which thing has which color."""
    rng = np.random.default_rng(0)
    things = rng.choice(list(COLORS), (count, 3))
    lines = [" and ".join(f"the {thing} is {COLORS[thing]}" for thing in row) for row in things]
    Path(path).write_text("\n\n".join(f"{line}." for line in lines))


def config_of(*words):
    return cli.parse(train_mlm.PRESETS, train_mlm.__doc__, args=list(words))


def train(*words):
    return train_mlm.run(config_of(*SMALL, "--export-dir", "models", *words))


def finetune(*words):
    return finetune_text.run(cli.parse(finetune_text.PRESETS, finetune_text.__doc__, args=list(words)))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The run of a model that knows the colors, and the folder of its text and its SavedModel."""
    folder = tmp_path_factory.mktemp("colors")
    write_text(folder / "text.txt")
    paths = ("--data", f"{folder}/text.txt", "--run", f"{folder}/run", "--export-dir", f"{folder}/models")
    return train_mlm.run(config_of(*SMALL, *paths, "--epochs", "20", "--learning-rate", "0.01")), folder


def test_a_run_writes_all_files(pretrained):
    run, _ = pretrained
    files = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert {"config.yaml", "run.json", "metrics.csv", "curves.png", "vocabulary.txt", "vocabulary.json"} <= files
    assert {"eval/report.json", "eval/examples.txt"} <= files and any(name.startswith("tensorboard/") for name in files)
    last = run.read_metrics()[-1]
    names = {"step", "epoch", "loss", "accuracy", "tokens_per_second", "val_loss", "val_accuracy", "val_perplexity"}
    assert set(last) == names and last["val_perplexity"] == pytest.approx(math.exp(last["val_loss"]), rel=1e-4)
    data = run.metadata()["data"]
    assert data["train"]["documents"] + data["held_out"]["documents"] == 400


def test_the_report_beats_the_unigram_baseline_and_agrees_with_the_last_epoch(pretrained):
    run, _ = pretrained
    report = json.loads((run.eval / "report.json").read_text())
    last = run.read_metrics()[-1]
    assert report["loss"] == pytest.approx(last["val_loss"], rel=1e-3)
    assert report["accuracy"] == pytest.approx(last["val_accuracy"], abs=1e-3)
    assert report["perplexity"] == pytest.approx(math.exp(report["loss"]))
    assert report["perplexity"] < report["unigram_perplexity"] / 2
    assert 0 < report["bits_per_byte"] < report["loss"] / math.log(2)
    assert report["accuracy"] > 2 * report["unigram_accuracy"]
    low, high = (report[f"unigram_accuracy_gain_{end}"] for end in ("low", "high"))
    assert 0 < low < report["accuracy"] - report["unigram_accuracy"] < high


def test_it_is_evaluated_again_with_other_masks_and_on_other_text(pretrained, capsys):
    run, folder = pretrained

    def evaluate(**flags):
        return evaluate_mlm.run(MaskedLMEvaluationConfig(run=str(run.path), **flags))

    own = json.loads((run.eval / "report.json").read_text())
    again = evaluate(mask_rate=0.5)
    maskable = run.metadata()["data"]["held_out"]["tokens"] - run.metadata()["data"]["held_out"]["documents"]
    assert abs(again["count"] - 0.5 * maskable) < 20 and again["mask_rate"] == 0.5
    assert again["data"] == f"held out of {folder}/text.txt"
    assert (run.eval / "held_out_0.5_tokens" / "examples.txt").exists()
    assert {name: value for name, value in evaluate().items() if name in own} == pytest.approx(own, rel=1e-5)
    # Of a thing and its color, one tells the other; of unrelated words none does.
    words = list(COLORS) + list(COLORS.values()) + ["the", "is", "and"]
    mixed = np.random.default_rng(0).choice(words, (100, 12))
    Path("mixed.txt").write_text("\n\n".join(" ".join(row) for row in mixed))
    other = evaluate(data="mixed.txt")
    assert other["perplexity"] > 3 * own["perplexity"] and other["count"] > 100
    assert json.loads((run.eval / "mixed.txt" / "report.json").read_text()) == other
    # Unknown words are never masked, so a baseline that predicts them always would be wrong.
    Path("unknown.txt").write_text("\n\n".join(["the sky is blue Ж Ж Ж"] * 50))
    assert evaluate(data="unknown.txt")["unigram_accuracy"] > 0.1
    assert "are [UNK], which are left out" in capsys.readouterr().err
    for flags, message in (
        ({"field": "body"}, "are of --data; give that too"),
        ({"data": "mixed.txt", "mask_rate": 1e-9}, "No token is masked"),
        ({"mask_rate": 0.0}, "--mask-rate must be above 0"),
        ({"data": "missing"}, "there is no such file"),
    ):
        assert message in refusal(capsys, lambda flags=flags: evaluate(**flags))
    assert "Give --run DIR" in refusal(capsys, lambda: evaluate_mlm.run(MaskedLMEvaluationConfig()))
    (folder / "text.txt").write_text((folder / "text.txt").read_text().replace("blue", "gray"))
    try:
        assert "has changed since this run was trained" in refusal(capsys, evaluate)
    finally:
        write_text(folder / "text.txt")


def test_examples_show_predictions_and_targets(pretrained):
    run, _ = pretrained
    text = (run.eval / "examples.txt").read_text()
    assert "[" in text and "[CLS]" not in text and text.count("\n\n") >= 5


def test_masks_are_filled_alike_by_the_run_and_by_its_export(pretrained, capsys):
    run, folder = pretrained
    texts = ("the sky is [MASK] and the grass is [MASK].", "the lemon is [MASK] and the snow is white.")
    results = fill_mask.run(fill_mask.Config(run=str(run.path), texts=texts, top=3, out="out.csv"))
    assert [[words[0][0] for words in masks] for _, masks in results] == [["blue", "green"], ["yellow"]]
    assert "the sky is blue and the grass is green." in capsys.readouterr().out
    exported = fill_mask.run(
        fill_mask.Config(saved_model=str(folder / "models" / "bert_smoke_text"), texts=texts, top=3)
    )
    for (_, ours), (_, theirs) in zip(results, exported, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            assert [word for word, _ in mine] == [word for word, _ in other]
            assert [p for _, p in mine] == pytest.approx([p for _, p in other], abs=1e-5)
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 and rows[0] == rows[0] | {"text": texts[0], "mask": "1", "rank": "1", "word": "blue"}


def assert_same_answers(one, other, text):
    """Raises `AssertionError` unless two versions answer the same to a text."""
    first, second = (tf.saved_model.load(str(folder)).signatures["serving_default"] for folder in (one, other))
    expected, answer = first(text=tf.constant([text])), second(text=tf.constant([text]))
    np.testing.assert_allclose(answer["scores"], expected["scores"], atol=1e-6)


@pytest.mark.slow
def test_a_run_is_exported_again_without_its_text_and_keeps_held_out_sentences(pretrained):
    run, folder = pretrained
    kept = load_texts(run)
    assert len(kept) == 8 and all(sentence in (folder / "text.txt").read_text() for sentence in kept)
    documents = [
        document for document in (folder / "text.txt").read_text().split("\n\n") if is_held_out(document, 0.05)
    ]
    assert all(any(document.startswith(sentence) for document in documents) for sentence in kept)
    moved = Path(shutil.copytree(run.path, "moved"))
    again = export.run(export.ExportConfig(run=str(moved), last=True))
    assert_same_answers(run.metadata()["saved_model"], again, "the sky is [MASK].")
    card = json.loads((again / "assets.extra" / "card.json").read_text())
    assert card["details"]["example"].count("[MASK]") == 1 and card["real_examples"]
    assert card["metrics"]["perplexity"] == json.loads((run.eval / "report.json").read_text())["perplexity"]


def test_texts_come_from_a_file_and_from_standard_input(pretrained, monkeypatch, capsys):
    run, _ = pretrained
    Path("lines.txt").write_text("the sky is [MASK].\n\nno mask\n")
    assert len(fill_mask.run(fill_mask.Config(run=str(run.path), file="lines.txt"))) == 1
    assert "There is no [MASK] in 'no mask'" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("the grass is [MASK].\nthe snow is [MASK].\n"))
    results = fill_mask.run(fill_mask.Config(run=str(run.path), file="-"))
    assert [masks[0][0][0] for _, masks in results] == ["green", "white"]


def test_masks_beyond_the_sequence_length_are_reported(pretrained, capsys):
    run, _ = pretrained
    ((_, masks),) = fill_mask.run(fill_mask.Config(run=str(run.path), texts=("[MASK] " * 20,)))
    assert len(masks) == 14
    assert "Only the first 14 masks of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ("nothing to fill",)}, "There is no [MASK] in 'nothing to fill'"),
        ({"texts": ()}, "Give a text"),
        ({"texts": ("[MASK]",), "top": 11}, "--top must be from 1 to 10"),
        ({"texts": ("[MASK]",), "run": None}, "Give one of --run DIR, --saved-model DIR and --server URL"),
        ({"texts": ("[MASK]",), "run": "missing"}, "--run missing holds no run of train_mlm"),
        ({"file": "missing.txt"}, "--file missing.txt cannot be read"),
        ({"texts": ("[MASK]",), "out": "missing/out.csv"}, "--out missing/out.csv cannot be written"),
    ],
)
def test_wrong_flags_of_fill_mask_are_refused(pretrained, changes, message):
    config = {"run": str(pretrained[0].path)} | changes
    with pytest.raises(UserError) as caught:
        fill_mask.run(fill_mask.Config(**config))
    assert message in str(caught.value)


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
def test_pretraining_continues_from_a_run_with_its_vocabulary_on_other_text(pretrained):
    run, _ = pretrained
    Path("other.txt").write_text("\n".join(f"the sky is blue and the snow is white {i}." for i in range(300)))
    words = (
        "--data",
        "other.txt",
        "--init",
        str(run.path),
        "--normalize-first",
        "--epochs",
        "1",
        "--learning-rate",
        "1e-6",
    )
    other = train(*words, "--run", "other")
    assert (other.path / "vocabulary.txt").read_text() == (run.path / "vocabulary.txt").read_text()
    assert other.read_metrics()[0]["loss"] < 3.5 < math.log(85)


@pytest.mark.slow
def test_validation_data_can_be_another_file():
    write_text()
    write_text("held_out.txt", 50)
    run = train("--validation-data", "held_out.txt", "--run", "run")
    data = run.metadata()["data"]
    assert (data["train"]["documents"], data["held_out"]["documents"]) == (400, 50)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--held-out-fraction", "0"), ("--mask-rate", "1e-9")])
def test_without_held_out_text_nothing_is_evaluated(words, capsys):
    write_text()
    run = train(*words, "--run", "run")
    assert "No text is held out" in capsys.readouterr().err
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
    ("words", "message"),
    [
        (["--data", "missing"], "there is no such file, folder, glob or data set"),
        (["--data", "empty.txt"], "has no text: 1 file, all empty"),
        (["--data", "latin.txt"], "byte 1 is 0xe4; specify the encoding with --encoding"),
        (["--data", "binary.txt"], "is not a text file: it contains zero bytes"),
        (["--vocabulary-size", "5000"], "choose --vocabulary-size"),
        (["--sequence-length", "7"], "--sequence-length must be at least 8; received 7"),
        (
            ["--sequence-length", "17", "--position-embedding", "learned"],
            "--sequence-length must be at most --max-sequence-length, 16, which learned position embeddings have",
        ),
        (["--batch-size", "4096"], "sequences of 16 tokens, fewer than --batch-size 4096"),
        (["--init", "missing"], "--init missing holds no run, and is no preset of KerasHub."),
        (["--vocabulary", "missing.txt"], "The vocabulary missing.txt cannot be read"),
        (["--encoding", "utf-9"], "--encoding utf-9 is unknown"),
        (["--mask-rate", "1"], "--mask-rate must be above 0 and below 1"),
        (["--mask-rate", "nan"], "--mask-rate must be above 0 and below 1"),
        (["--num-heads", "3"], "--num-heads must divide --hidden-dim"),
        (["--vocabulary-size", "4"], "--vocabulary-size must be at least 6"),
        (["--validation-data", "missing"], "there is no such file"),
    ],
)
def test_wrong_input_is_answered_in_one_sentence_and_writes_nothing(words, message, capsys):
    write_text()
    Path("empty.txt").touch()
    Path("latin.txt").write_bytes("Käse".encode("latin-1"))
    Path("binary.txt").write_bytes(b"\x7fELF\x00\x01")
    assert message in refusal(capsys, lambda: train(*words))


@pytest.mark.slow
def test_fine_tuning_is_resumed_with_the_pretrained_run_and_the_data_elsewhere(pretrained, capsys):
    shutil.copytree(pretrained[0].path, "pretrained")
    write_sentences()
    words = ("--batch-size", "8", "--run", "tuned", "--export-dir", "models", "--no-baseline")
    tuned = finetune("--init", "pretrained", "--data", "texts.tsv", "--epochs", "1", *words)
    weights = sorted((tuned.path / "checkpoints").iterdir())
    Path("pretrained").rename("moved")
    Path("texts.tsv").rename("moved.tsv")
    config = ("--config", "tuned/config.yaml", "--run", "tuned")
    assert "--init pretrained holds no run" in refusal(capsys, lambda: finetune(*config))
    finetune(*config, "--init", "moved", "--data", "moved.tsv")
    assert sorted((tuned.path / "checkpoints").iterdir()) == weights  # nothing was trained again
    assert tuned.read_config()["init"] == "moved" and "resumed after epoch 1" in capsys.readouterr().out


def test_a_run_is_not_resumed_with_another_vocabulary(pretrained, capsys):
    run, folder = pretrained
    words = ("--data", f"{folder}/text.txt", "--run", str(run.path), "--epochs", "20", "--learning-rate", "0.01")
    tokens = (run.path / "vocabulary.txt").read_text().splitlines()
    Path("other.txt").write_text("\n".join([*tokens[:-1], "another"]) + "\n")
    assert "--vocabulary other.txt is not that of the run" in refusal(
        capsys, lambda: train(*words, "--vocabulary", "other.txt")
    )


def test_the_architecture_is_that_of_the_model_to_start_from(pretrained, capsys):
    write_text()
    words = ("--num-layers", "3", "--init", str(pretrained[0].path), "--dropout", "0.3")
    assert train(*words, "--dry-run") is None
    model = train(*words, "--nsp", "--epochs", "1", "--run", "run").read_config()["model"]
    assert (model["num_layers"], model["dropout"]) == (1, 0.3)
    assert (
        "has no weights for segment_embedding, first_token_dense, next_sentence_dense: these are new"
        in capsys.readouterr().err
    )


def test_muon_continues_what_it_has_trained_and_refuses_what_it_would_rescale(pretrained, capsys):
    write_text()
    assert train("--init", str(pretrained[0].path), "--dry-run") is None
    adamw = ("--optimizer", "adamw", "--learning-rate", "0.01", "--run", "adamw")
    run = train(*adamw)
    message = "--optimizer muon would rescale the weights of --init adamw, which have other norms"
    assert message in refusal(capsys, lambda: train("--init", str(run.path), "--dry-run"))
    words = ("--data", "text.txt", "--batch-size", "8", "--init", str(run.path), "--dry-run")
    assert train_mlm.run(config_of("adapt", *words)) is None
    assert "name it by --init" in refusal(capsys, lambda: train_mlm.run(config_of("adapt", "--data", "text.txt")))


SENTENCES = [f"the {thing} is {color} {end}" for thing, color in COLORS.items() for end in "abcdefghij"]


def write_sentences():
    """Texts whose class is whether what they say is white or black."""
    rows = [f"{text}\t{'gray' if ' white' in text or ' black' in text else 'color'}" for text in SENTENCES]
    Path("texts.tsv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
def test_fine_tuning_writes_a_report_and_exports_a_classifier(pretrained):
    run, _ = pretrained
    write_sentences()
    words = ("--init", str(run.path), "--data", "texts.tsv", "--epochs", "20", "--batch-size", "8", "--dropout", "0")
    tuned = finetune(*words, "--learning-rate", "0.01", "--run", "tuned", "--export-dir", "models")
    files = {path.name for path in tuned.eval.iterdir()}
    assert {"report.json", "confusion.csv", "confusion.png", "reliability.png", "mistakes.csv"} <= files
    report = json.loads((tuned.eval / "report.json").read_text())
    assert report["accuracy"] > 0.9 and report["classes"].keys() == {"color", "gray"}
    assert [part["name"] for part in report["parts"]] == ["the network alone"] and (tuned.path / NGRAMS_FILE).exists()
    serve = tf.saved_model.load(tuned.metadata()["saved_model"]).signatures["serving_default"]
    answer = serve(text=tf.constant(["the snow is white a", "the lemon is yellow b"]))
    assert answer["scores"].numpy().argmax(1).tolist() == [1, 0]
    config = yaml.safe_load(tuned.config_file.read_text())
    assert config["model"]["hidden_dim"] == 16 and (tuned.path / "vocabulary.txt").exists()
    texts = ("the snow is white a", "the lemon is yellow b")
    answers = [classify.run(classify.Config(run="tuned", text=texts))]
    answers.append(classify.run(classify.Config(saved_model=tuned.metadata()["saved_model"], text=texts)))
    assert [[best[0][0] for _, best in results] for results in answers] == [["gray", "color"]] * 2
    Path("texts.tsv").rename("gone.tsv")
    assert_same_answers(
        tuned.metadata()["saved_model"], export.run(export.ExportConfig(run="tuned", name="again")), "the snow is a"
    )
    Path("gone.tsv").rename("texts.tsv")
    kept = load_texts(tuned)
    assert len(kept) == 8 and all(f"{text}\t" in Path("texts.tsv").read_text() for text in kept)
    before = tuned.read_metrics()
    (tuned.path / NGRAMS_FILE).unlink()  # As of a run of an earlier version, whose export has no n-grams.
    again = finetune("--config", str(tuned.config_file), "--run", "tuned")
    assert again.read_metrics() == before and not (tuned.path / NGRAMS_FILE).exists()


def write_documents(path, count=240, words=600):
    """Documents of random words; the class is which of two words is frequent in their last third."""
    rng, vocabulary = np.random.default_rng(0), list(COLORS) + ["the", "is", "and"]
    rows = []
    for index in range(count):
        drawn = rng.choice(vocabulary, words).astype("U6")  # room for "yellow"
        drawn[words * 2 // 3 :: 5] = ("white", "yellow")[index % 2]
        rows.append(f"{' '.join(drawn)}\t{('white', 'yellow')[index % 2]}\n")
    Path(path).write_text("".join(rows))


@pytest.mark.slow
@pytest.mark.parametrize(("long_texts", "lowest", "highest"), [("windows", 0.95, 1.0), ("cut", 0.3, 0.7)])
def test_a_class_that_shows_late_in_a_text_is_found_in_windows_only(pretrained, long_texts, lowest, highest):
    write_documents("texts.tsv")
    words = ("--init", str(pretrained[0].path), "--data", "texts.tsv", "--long-texts", long_texts, "--dropout", "0")
    words += ("--no-ngrams",)
    run = finetune(*words, "--epochs", "10", "--batch-size", "8", "--learning-rate", "0.01", "--run", "run")
    report = json.loads((run.eval / "report.json").read_text())
    assert lowest <= report["accuracy"] <= highest
    # The export reads as much of a text as the network.
    texts = [line.split("\t")[0].split() for line in Path("texts.tsv").read_text().splitlines()[:6]]
    swapped = {"white": "yellow", "yellow": "white"}
    others = [[*words[:400], *(swapped.get(word, word) for word in words[400:])] for words in texts]
    serve = tf.saved_model.load(run.metadata()["saved_model"]).signatures["serving_default"]
    one, two = (serve(text=tf.constant([" ".join(words) for words in x]))["scores"].numpy() for x in (texts, others))
    if long_texts == "windows":
        assert np.abs(one - two)[:, 0].min() > 0.5
    else:
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"), [(("--no-ngrams",), ""), (("--validation-fraction", "0"), "No n-grams: they need a validation")]
)
def test_without_ngrams_or_a_validation_split_the_model_is_the_network(pretrained, words, said, capsys):
    write_sentences()
    words = ("--init", str(pretrained[0].path), "--data", "texts.tsv", "--epochs", "1", "--batch-size", "8", *words)
    run = finetune(*words, "--run", "run", "--export-dir", "models", "--no-baseline")
    report = json.loads((run.eval / "report.json").read_text())
    assert "parts" not in report and not (run.path / NGRAMS_FILE).exists() and said in capsys.readouterr().out


def test_frozen_features_and_new_weights(pretrained, capsys):
    run, _ = pretrained
    write_sentences()
    words = ("--init", str(run.path), "--data", "texts.tsv", "--epochs", "1", "--batch-size", "8", "--dry-run")
    finetune(*words, "--freeze", "features")
    assert "of which 306 are trained" in capsys.readouterr().out  # 16 x 16 + 16 of the pooler, 16 x 2 + 2 of the head
    assert finetune(*words, "--scratch") is None


def test_without_learned_positions_longer_sequences_than_in_pretraining_are_trained_on(pretrained, capsys):
    run, _ = pretrained
    write_text()
    assert train("--init", str(run.path), "--sequence-length", "32", "--dry-run") is None
    assert "sequence of 32 tokens" in capsys.readouterr().out
    write_sentences()
    assert finetune("--init", str(run.path), "--data", "texts.tsv", "--sequence-length", "99", "--dry-run") is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "texts.tsv"], "Name a pretrained masked language model to start from: --init RUN"),
        (["--data", "texts.tsv", "--init", "missing"], "--init missing holds no run, and is no preset of KerasHub."),
        (["--data", "missing", "--init", "RUN"], "--data missing: there is no such file or folder"),
        (
            ["--data", "texts.tsv", "--init", "RUN", "--batch-size", "999"],
            "--batch-size 999 is larger than the training",
        ),
        (["--data", "texts.tsv", "--init", "RUN", "--scratch", "--freeze", "features"], "exclude each other"),
        (["--data", "texts.tsv", "--init", "RUN", "--text-field", "body"], "no column body"),
    ],
)
def test_wrong_flags_of_fine_tuning_are_refused(pretrained, words, message, capsys):
    write_sentences()
    words = [str(pretrained[0].path) if word == "RUN" else word for word in words]
    assert message in refusal(capsys, lambda: finetune(*words))


@pytest.mark.parametrize("name", list(train_mlm.PRESETS))
def test_every_preset_is_a_valid_config(name):
    config = config_of(name)
    assert isinstance(config, MaskedLMConfig) and dataclasses.asdict(config)["model"]["family"] == "bert"


@pytest.mark.slow
def test_the_programs_print_no_messages_of_tensorflow_and_need_no_network():
    write_text()
    done = run_program("apps.train_mlm", *SMALL, "--run", "run", "--export-dir", "models")
    assert done.returncode == 0 and done.stderr == ""
    assert "Held out" in done.stdout and "models/bert_smoke_text/1" in done.stdout
    done = run_program("apps.fill_mask", "--run", "run", "the sky is [MASK].")
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("the sky is ")
