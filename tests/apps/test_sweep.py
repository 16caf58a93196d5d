"""Trainings with several values of flags, and their ranking."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from programs import ROOT

from apps import sweep as program
from karpa_tf.errors import UserError
from karpa_tf.training import sweep


def write_metrics(trial, rows):
    """Writes the metrics.csv of a trial that is over; `rows` are dicts."""
    trial.run.path.mkdir()
    with open(trial.run.metrics_file, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def losses(*values):
    return [{"step": n, "epoch": n, "val_loss": value, "val_accuracy": value / 2} for n, value in enumerate(values, 1)]


def test_all_combinations_are_tried_in_runs_of_their_own():
    trials = sweep.make_trials(["epochs=1,2", "--filters=8 4,16", "name=a/b"], "out")
    assert [trial.flags for trial in trials] == [
        ["--epochs", epochs, "--filters", *filters, "--name", "a/b"]
        for epochs in ("1", "2")
        for filters in (["8", "4"], ["16"])
    ]
    assert len({trial.run.path for trial in trials}) == 4
    assert str(trials[0].run.path).startswith("out/epochs-1_filters-8-4_name-a-b-")


def test_folders_and_logs_differ_where_values_do():
    axes = ["rate=0.1,0.3,0.1 0.3", "data=a/b,a-b", f"name={'x' * 300},{'x' * 299}"]
    trials = sweep.make_trials(axes, "out")
    assert len({trial.run.path for trial in trials}) == len({trial.log for trial in trials}) == 12
    assert max(len(trial.log.name) for trial in trials) < 255
    (trial, *_) = sweep.make_trials(["rate=0.1", "seed=0"], "out")
    assert (str(trial.run.path), str(trial.log)) == ("out/rate-0.1_seed-0", "out/rate-0.1_seed-0.log")


@pytest.mark.parametrize("axes", [["epochs"], ["epochs="], ["=1"], ["epochs=1,,2"], ["epochs=1", "epochs=2"]])
def test_axes_that_are_no_flags_with_values_are_refused(axes):
    with pytest.raises(UserError, match="--over needs flag=value,value, each flag once"):
        sweep.make_trials(axes, "out")


def test_settings_are_ranked_by_the_mean_of_their_best_epochs_over_seeds():
    trials = sweep.make_trials(["rate=1,2", "seed=0,1"], ".")
    for trial, values in zip(trials, [(3, 1, 2), (5, 4, 3), (1.5, 2), (1.5, 1)], strict=True):
        write_metrics(trial, losses(*values))
    ranked = sweep.rank(trials)
    assert [(setting.values, setting.mean, setting.epochs) for setting in ranked] == [
        ({"rate": "2"}, 1.25, [1, 2]),
        ({"rate": "1"}, 2.0, [2, 3]),
    ]
    assert [setting.values["rate"] for setting in sweep.rank(trials, "val_accuracy")] == ["1", "2"]
    assert sweep.is_higher_better("images_per_second") and not sweep.is_higher_better("frechet_distance")
    table = sweep.format_ranking(ranked).splitlines()
    assert "1.25 ± 0.3536" in table[1] and table[1].startswith("rate 2 ")  # |1.5 - 1| / sqrt(2)
    with pytest.raises(UserError, match=r"has no accuracy in metrics.csv, .* there is epoch, step, val_acc"):
        sweep.rank(trials, "accuracy")


def test_a_folder_holds_one_sweep():
    sweep.require_same_sweep(".", ["a=1", "--", "train_gan"])
    sweep.require_same_sweep(".", ["a=1", "--", "train_gan"])
    with pytest.raises(UserError, match="holds another sweep, of a=1 -- train_gan; choose another"):
        sweep.require_same_sweep(".", ["a=2", "--", "train_gan"])


def start(*words, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "apps.sweep", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


WORDS = ("--over", "learning-rate=1e-5,4e-3", "--out", "out", "--", "train_classifier", "smoke", "--no-baseline")


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_and_names_the_best_run():
    process = start(*WORDS)
    assert process.stdout.readline() == "1 of 2: learning-rate 1e-5\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 75
    out, error = start(*WORDS).communicate(timeout=300)
    assert out.splitlines()[-1:] == ["Best        out/learning-rate-4e-3"], error
    files = [Path(f"out/learning-rate-{rate}/metrics.csv") for rate in ("1e-5", "4e-3")]
    times = [file.stat().st_mtime for file in files]
    rows = list(csv.DictReader(Path("out/sweep.csv").read_text().splitlines()))
    assert [row["learning-rate"] for row in rows] == ["1e-5", "4e-3"]
    assert float(rows[1]["val_loss"]) < float(rows[0]["val_loss"])
    again, _ = start(*WORDS).communicate(timeout=120)
    assert again.splitlines()[-1] == out.splitlines()[-1]
    assert [file.stat().st_mtime for file in files] == times  # nothing ran again


@pytest.mark.slow
def test_trials_that_fail_are_named_and_left_out():
    words = ("--out", "out", "--", "train_classifier", "smoke", "--no-baseline")
    out, _ = start("--over", "batch-size=128,9999", *words).communicate(timeout=300)
    assert "  failed; see out/batch-size-9999.log. error: --batch-size 9999 is larger than the training split" in out
    assert out.splitlines()[-1] == "Best        out/batch-size-128"
    process = start("--over", "learning=1,2", "--out", "other", *words[2:])
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "All 2 trials failed; the last one failed; see other/learning-2.log. Unrecognized options: --lear" in error


@pytest.mark.slow
def test_trials_whose_models_cannot_replace_each_other_are_all_exported():
    out, _ = start(
        "--over", "latent-dim=4,6", "--by", "g_loss", "--out", "out", "--", "train_gan", "smoke"
    ).communicate()
    assert "failed" not in out and len(list(Path("out").glob("*/models/*/1/saved_model.pb"))) == 2


def test_a_dry_run_is_no_trial():
    (trial,) = sweep.make_trials(["seed=0"], ".")
    with pytest.raises(UserError, match="has no metrics.csv; a sweep needs complete runs"):
        trial.find_best()


def test_a_sweep_needs_flags_and_a_program():
    for config in (program.Config(("train_gan",)), program.Config(over=("seed=0,1",))):
        with pytest.raises(UserError, match="then --, then a training program"):
            program.run(config)
