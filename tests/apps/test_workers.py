"""The training programs as two workers: the same results as one process, also after a worker is lost."""

import os
import subprocess
import sys
from pathlib import Path

import kill_runs
import numpy as np
import pytest

from karpa_tf.training.run import Run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TEXT = ("--data", str(ROOT / "docs"), "--vocabulary-size", "800", "--held-out-fraction", "0.2")
WORDS = {
    "train_classifier": ("smoke", "--epochs", "2", "--optimizer", "sgd", "--mixup", "0.2", "--ema", "0.9"),
    "pretrain_images": ("smoke", "--epochs", "2", "--optimizer", "sgd", "--weight-decay", "0", "--no-probe"),
    "train_mlm": (
        *("smoke", "--epochs", "2", "--optimizer", "sgd", "--learning-rate", "4e-3", "--batch-size", "8"),
        *TEXT,
    ),
    "train_gan": ("smoke", "--epochs", "2", "--sync-batch-norm", "--dropout", "0"),
    "finetune_text": (
        *("regression", "--epochs", "2", "--optimizer", "sgd", "--dropout", "0", "--weight-decay", "0", "--batch-size"),
        *("8", "--init", "pretrained", "--data", "pairs.tsv", "--text-field", "first", "--label-field", "rating"),
    ),
    # Texts are contrasted with those of the other worker too.
    "finetune_embedder": (
        *("smoke", "--epochs", "2", "--optimizer", "sgd", "--dropout", "0", "--weight-decay", "0"),
        *("--init", "pretrained", "--data", "text.txt"),
    ),
    "finetune_tagger": (
        *("smoke", "--epochs", "2", "--optimizer", "sgd", "--dropout", "0", "--weight-decay", "0"),
        *("--init", "pretrained", "--data", "tagged.conll"),
    ),
}

LOSES_WORKER_1 = """
import os, runpy, signal, sys
from pathlib import Path
from karpa_tf.distribution import cluster
from karpa_tf.training import checkpoints

class Killed(checkpoints.Checkpoint):
    def on_train_batch_begin(self, batch, logs=None):
        if self.step == 33 and cluster.worker_index() == 1 and not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

checkpoints.Checkpoint = Killed
runpy.run_module("apps.train_gan", run_name="__main__")
"""


def run(*words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=300)


def launched(*words):
    return run("-m", "karpa_tf.distribution.launch", "--workers", "2", *words)


def rows_of(folder):
    return [{k: v for k, v in row.items() if "per_second" not in k} for row in Run(folder).read_metrics()]


@pytest.mark.parametrize("app", WORDS)
def test_two_workers_train_as_one_process_does(app):
    kill_runs.prepare(app, Path())
    command = ("-m", f"apps.{app}", *WORDS[app], "--export-dir", "models", "--run")
    done = launched("--", sys.executable, *command, "two/run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(line.startswith("[worker 0] ") for line in done.stdout.splitlines())
    assert run(*command, "one/run").returncode == 0
    one, two = rows_of("one/run"), rows_of("two/run")
    # The GAN has Adam, whose steps do not shrink with a gradient that is mostly rounding.
    tolerance = 1e-2 if app == "train_gan" else 1e-5
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys()
        np.testing.assert_allclose(list(second.values()), list(first.values()), atol=tolerance, rtol=tolerance)
    ours, theirs = kill_runs.arrays_of(Path("two")), kill_runs.arrays_of(Path("one"))
    for name, value in theirs.items() if app != "train_gan" else []:
        np.testing.assert_allclose(ours[name], value, atol=1e-5, err_msg=name)
    assert len(list(Path("models").glob("*/*/saved_model.pb"))) == 2


def test_a_run_that_loses_a_worker_and_is_restarted_ends_as_if_it_had_not():
    words = ("smoke", "--epochs", "3", "--save-steps", "5", "--deterministic", "--export-dir", "models", "--run")
    assert launched("--", sys.executable, "-m", "apps.train_gan", *words, "whole/run").returncode == 0
    done = launched("--restarts", "1", "--", sys.executable, "-c", LOSES_WORKER_1, *words, "lost/run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worker 1 was ended by SIGKILL" in done.stderr and "Worker 1 (127.0.0.1" in done.stderr
    assert "resumed after epoch 1 and 2 steps" in done.stdout
    assert kill_runs.last_checkpoint(Path("lost")).name == "step-00000084-epoch-00003"
    assert kill_runs.metrics_of(Path("lost")) == kill_runs.metrics_of(Path("whole"))
    expected = kill_runs.arrays_of(Path("whole"))
    for name, value in kill_runs.arrays_of(Path("lost")).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
