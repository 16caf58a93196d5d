"""Processes that are started and end: what a person waits for.

$ python -m benchmarks.start_up      from nothing to the first training step of train_classifier's smallest preset
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.contender import Program, repeat

ROOT = Path(__file__).parents[1]


def program(command):
    """Returns the `Program` that starts Python with a list of words, and waits for its end."""

    def step():
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, *command]
            subprocess.run(words, env=environment, cwd=folder, check=True, capture_output=True)

    # The largest of the processes that have ended.
    return Program(repeat(step), peak_bytes=lambda: resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)


def first_step():
    """Runs train_classifier's preset `smoke` up to the end of its first step, and ends the process there."""
    from karpa_tf import cli
    from karpa_tf.configs.classifier_presets import PRESETS

    config = cli.parse(PRESETS, __doc__, args=["smoke"])

    from apps import train_classifier
    from karpa_tf.training import checkpoints

    class First(checkpoints.Checkpoint):
        def on_train_batch_end(self, batch, logs=None):
            sys.stdout.flush()
            os._exit(0)

    checkpoints.Checkpoint = First
    train_classifier.run(config)
    raise RuntimeError("No step was made.")


if __name__ == "__main__":
    first_step()
