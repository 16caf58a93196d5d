"""Pairs of texts and numbers for texts, from the table to the export, as a user runs the programs."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from programs import refusal
from tiny_texts import pretrain, write_pairs

from apps import classify, export, finetune_text, rate_text
from karpa_tf import cli

pytestmark = pytest.mark.slow

FLAGS = ("--data", "pairs.tsv", "--text-field", "first", "--pair-field", "second", "--batch-size", "8")


def finetune(*words):
    return finetune_text.run(cli.parse(finetune_text.PRESETS, "", args=[*words, "--export-dir", "models"]))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("pretrained"), "--nsp")


def test_pairs_are_classified_by_the_run_and_by_its_export(pretrained):
    write_pairs("pairs.tsv")
    words = ("--init", pretrained, *FLAGS, "--label-field", "label", "--epochs", "3", "--learning-rate", "0.01")
    run = finetune(*words, "--run", "run", "--dropout", "0")
    assert run.read_config()["model"]["num_segments"] == 2
    report = json.loads((run.eval / "report.json").read_text())
    assert report["classes"].keys() == {"other", "same"} and len(report["baselines"]) == 2
    assert (run.eval / "mistakes.csv").read_text().startswith("text,true,predicted,probability")
    texts, pairs = ("the sky is blue", "the coal is black"), ("the sea is blue", "the snow is white " * 20)
    one = classify.run(classify.Config(run="run", text=texts, text_pair=pairs))
    two = classify.run(classify.Config(saved_model=run.metadata()["saved_model"], text=texts, text_pair=pairs))
    for (name, ours), (other, theirs) in zip(one, two, strict=True):
        assert name == other and dict(ours) == pytest.approx(dict(theirs), abs=1e-5)
    serve = tf.saved_model.load(run.metadata()["saved_model"]).signatures["serving_default"]
    swapped = serve(text=tf.constant(pairs[:1]), text_pair=tf.constant(texts[:1]))["scores"].numpy()
    assert np.abs(swapped[0].max() - one[0][1][0][1]) > 1e-6  # the order of a pair counts
    again = export.run(export.ExportConfig(run="run", name="again", export_dir="models"))
    same = tf.saved_model.load(str(again)).signatures["serving_default"]
    answer = same(text=tf.constant(pairs[:1]), text_pair=tf.constant(texts[:1]))["scores"]
    np.testing.assert_allclose(answer, swapped, atol=1e-6)


def test_numbers_are_predicted_by_the_run_and_by_its_export(pretrained, capsys):
    write_pairs("pairs.tsv")
    words = ("--init", pretrained, *FLAGS, "--label-field", "rating", "--regression", "--epochs", "8")
    run = finetune(*words, "--learning-rate", "0.01", "--run", "run", "--dropout", "0")
    out = capsys.readouterr().out
    assert "Numbers from 0.5 to 1.5" in out and "Test       Pearson" in out
    report = json.loads((run.eval / "report.json").read_text())
    by_mean, by_words = report["baselines"]
    assert report["rmse"] < 0.3 < by_mean["rmse"] and report["pearson"] > 0.9 < by_words["pearson"]
    assert by_mean["pearson"] == 0 and (run.eval / "scatter.png").exists()
    texts, pairs = ("the sky is blue",) * 2, ("the coal is black", "the sea is blue")
    one = rate_text.run(rate_text.Config(run="run", text=texts, text_pair=pairs))
    two = rate_text.run(rate_text.Config(saved_model=run.metadata()["saved_model"], text=texts, text_pair=pairs))
    assert [row[-1] for row in one] == pytest.approx([1.5, 0.5], abs=0.3)
    assert [row[-1] for row in two] == pytest.approx([row[-1] for row in one], abs=1e-5)
    again = finetune("--config", str(run.config_file), "--run", "run")
    assert again.read_metrics() == run.read_metrics() and "resumed after epoch 8" in capsys.readouterr().out
    assert "was trained on pairs of texts; give --text-pair" in refusal(
        capsys, lambda: rate_text.run(rate_text.Config(run="run", text=texts))
    )
    assert "holds no run of finetune_text with classes" in refusal(
        capsys, lambda: classify.run(classify.Config(run="run", text=texts, text_pair=pairs))
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label-field", "label", "--regression"], "has the label 'other'; with --regression labels must be finite"),
        (
            ["--label-field", "rating", "--regression", "--class-weights", "balanced"],
            "need classes, which --regression",
        ),
        (["--label-field", "label", "--pair-field", "third"], "no column third; the columns are first, second, label"),
    ],
)
def test_wrong_flags_are_refused(pretrained, words, message, capsys):
    write_pairs("pairs.tsv")
    assert message in refusal(capsys, lambda: finetune("--init", pretrained, *FLAGS, *words))


def test_a_folder_of_texts_has_no_pairs(pretrained, capsys):
    for name in ("a/1.txt", "b/2.txt"):
        Path("texts", name).parent.mkdir(parents=True)
        Path("texts", name).write_text("text")
    words = ("--init", pretrained, "--data", "texts", "--pair-field", "second")
    assert "--pair-field needs a table" in refusal(capsys, lambda: finetune(*words))
