"""Kills the training programs at random steps, resumes them, and compares them with uninterrupted runs.

    python tests/helpers/kill_runs.py                       # all programs, 10 kills each
    python tests/helpers/kill_runs.py train_gan wgan_gp --kills 3   # some of them

Every run is killed with SIGKILL before random steps (--seed) and resumed by the same command until it ends.
It passes if every array of its last checkpoint (weights, optimizers, averages, random states) is bitwise equal to that
of an uninterrupted run, and so is metrics.csv apart from the speed.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import tiny_texts
from PIL import Image

ROOT = Path(__file__).parents[2]

COMMON = ("--deterministic", "--save-steps", "3", "--log-every", "4")
PROGRAMS = {
    # Augmentation, dropout, two moments, an average, validation.
    "train_classifier": (
        *("train_classifier", "smoke", "--epochs", "3", "--optimizer", "adam", "--ema", "0.9", "--dropout", "0.2"),
        *("--crop-padding", "0", "--crop-scale", "0.5", "--color-jitter", "0.2", "--randaugment", "1"),
        *("--mixup", "0.2", "--cutmix", "1"),
    ),
    # A backbone of KerasHub with dropout, of which more and more is trained.
    "backbone": (
        *("train_classifier", "smoke", "--epochs", "3", "--image-size", "32", "--channels", "3", "--ema", "0.9"),
        *("--init", "preset", "--freeze", "features", "--unfreeze-every", "1", "--layer-decay", "0.5"),
    ),
    # Random crops of files, which are decoded in every step, and several threads that decode them.
    "image_files": (
        *("train_classifier", "images", "--data", "images", "--epochs", "2", "--batch-size", "8", "--image-size", "16"),
        *("--blocks", "1", "--filters", "4", "--crop-padding", "0", "--crop-scale", "0.3", "--flip", "random"),
        *("--cache-dir", "cache"),
    ),
    "train_gan": ("train_gan", "smoke", "--epochs", "2"),
    # Several updates of the discriminator, a penalty and its random numbers, a learning rate that falls.
    "wgan_gp": (
        *("train_gan", "wgan_gp", "--data", "digits", "--epochs", "4", "--channels", "1", "--base-size", "8"),
        *("--filters", "8", "--discriminator-filters", "8", "8"),
    ),
    # Vectors of spectral normalization, attention, classes, and the probability of augmentation.
    "sagan": ("train_gan", "smoke_projection", "--augment", "ada", "--epochs", "2"),
    "train_mlm": (
        *("train_mlm", "smoke", "--epochs", "2", "--dropout", "0.1", "--batch-size", "8"),
        *("--data", str(ROOT / "docs"), "--vocabulary-size", "800", "--held-out-fraction", "0.2"),
    ),
    # Masks, augmentation, an average.
    "pretrain_images": (
        *("pretrain_images", "smoke", "--epochs", "3", "--crop-scale", "0.5", "--ema", "0.9", "--dropout", "0.1"),
        *("--no-probe", "--optimizer", "adamw"),
    ),
    # Numbers for pairs of texts: their mean and deviation are needed to go on.
    "finetune_text": (
        *(
            "finetune_text",
            "regression",
            "--epochs",
            "3",
            "--dropout",
            "0.1",
            "--batch-size",
            "8",
            "--init",
            "pretrained",
        ),
        *("--data", "pairs.tsv", "--text-field", "first", "--pair-field", "second", "--label-field", "rating"),
    ),
    # Two masks of dropout for each text, drawn anew after a restart as they would have been.
    "finetune_embedder": (
        *("finetune_embedder", "smoke", "--epochs", "3", "--dropout", "0.1", "--ema", "0.9"),
        *("--init", "pretrained", "--data", "text.txt", "--positives", "dropout", "--batch-size", "16"),
    ),
    "finetune_tagger": (
        *("finetune_tagger", "smoke", "--epochs", "3", "--dropout", "0.1", "--ema", "0.9"),
        *("--init", "pretrained", "--data", "tagged.conll", "--freeze", "features", "--unfreeze-every", "1"),
    ),
}
"""Programs and their flags, by name: a few dozen steps with everything that has a state."""

CHILD = """
import os, runpy, signal, sys
import karpa_tf.training.checkpoints as checkpoints

before = int(sys.argv[1])

class Killed(checkpoints.Checkpoint):
    def on_train_batch_begin(self, batch, logs=None):
        if self.step == before:
            os.kill(os.getpid(), signal.SIGKILL)

checkpoints.Checkpoint = Killed
sys.argv = sys.argv[2:]
runpy.run_module("apps." + sys.argv[0], run_name="__main__")
"""


def prepare(name, folder):
    """Makes what a program starts from in the folder in which it runs."""
    if name == "backbone":
        code = "import tiny_backbones; tiny_backbones.save_preset('ViT', 'preset')"
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, check=True)
    if name.startswith("finetune_"):
        code = "import sys, tiny_texts; tiny_texts.pretrain(sys.argv[1])"
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
        subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, capture_output=True, check=True)
        tiny_texts.write_tagged(folder / "tagged.conll")
        tiny_texts.write_pairs(folder / "pairs.tsv", 120)
    if name == "image_files":
        rng = np.random.default_rng(0)
        for number in range(120):
            path = folder / "images" / "ab"[number % 2] / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (*rng.integers(16, 60, 2), 3), np.uint8)).save(path)


def start(name, folder, kill_before=-1):
    """Runs one of `PROGRAMS` for the run in `folder`, kills it before step `kill_before`; returns its exit code."""
    words = [sys.executable, "-c", CHILD, str(kill_before), *PROGRAMS[name], *COMMON]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, "--run", str(folder / "run"), "--export-dir", str(folder / "models")],
        env=environment,
        cwd=folder.parent,
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, -9):
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.returncode


def last_checkpoint(folder):
    return max(path for path in (folder / "run" / "checkpoints").iterdir() if path.name.startswith("step-"))


def arrays_of(folder):
    """Returns every array of a run's last checkpoint, by name."""
    found, checkpoint = {}, last_checkpoint(folder)
    for name in ("trainer", "exported"):
        with h5py.File(checkpoint / f"{name}.weights.h5") as file:
            file.visititems(
                lambda key, item, name=name: (
                    found.update({f"{name}/{key}": item[()]}) if isinstance(item, h5py.Dataset) else None
                )
            )
    with np.load(checkpoint / "random_states.npz") as states:
        found.update({f"random/{key}": value for key, value in states.items()})
    return found


def metrics_of(folder):
    """Returns the rows of a run's metrics.csv without the column of the speed."""
    header, *rows = [line.split(",") for line in (folder / "run" / "metrics.csv").read_text().splitlines()]
    speed = next(index for index, name in enumerate(header) if name.endswith("_per_second"))
    return [[value for index, value in enumerate(row) if index != speed] for row in [header, *rows]]


def compare(name, kills, seed):
    """Trains one uninterrupted and one killed run; returns a message, or raises `AssertionError`."""
    with tempfile.TemporaryDirectory() as folder:
        complete, killed = Path(folder, "complete"), Path(folder, "killed")
        prepare(name, Path(folder))
        assert start(name, complete) == 0
        steps = int(last_checkpoint(complete).name.split("-")[1])
        kill_steps = sorted(random.Random(f"{name} {seed}").choices(range(steps), k=kills))
        for step in kill_steps:
            assert start(name, killed, step) == -9, f"{name} was not killed before step {step}"
        assert start(name, killed) == 0
        one, other = arrays_of(complete), arrays_of(killed)
        assert one.keys() == other.keys() and one
        different = [key for key in one if one[key].tobytes() != other[key].tobytes()]
        assert not different, f"{name}: {len(different)} of {len(one)} arrays differ, {different[0]} among them"
        assert metrics_of(complete) == metrics_of(killed), f"{name}: metrics.csv differs"
        return f"{name}: killed before steps {kill_steps} of {steps}; all {len(one)} arrays of the checkpoint are equal"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(PROGRAMS))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.names or PROGRAMS:
        print(compare(name, arguments.kills, arguments.seed), flush=True)


if __name__ == "__main__":
    main()
