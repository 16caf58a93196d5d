"""Start of a process: Python with some arguments, from the start to the end.

$ python -m benchmarks.start_up      train_classifier's preset smoke, from the start to the end of its first step
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.program import Program, repeat

ROOT = Path(__file__).parents[1]


def make_program(arguments):
    """Returns the `Program` that starts Python with a sequence of arguments and waits for its end."""

    def step():
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, *arguments]
            subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True)

    # The peak of the largest of the processes that have ended.
    return Program(repeat(step), peak_bytes=lambda: resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)


def run_first_step():
    """Runs train_classifier's preset smoke and ends the process after the first step."""
    from karpa_tf import cli
    from karpa_tf.configs.classifier_presets import PRESETS

    config = cli.parse(PRESETS, __doc__, args=["smoke"])

    from apps import train_classifier
    from karpa_tf.training import checkpoints

    class EndProcess(checkpoints.Checkpoint):
        def on_train_batch_end(self, batch, logs=None):
            sys.stdout.flush()
            os._exit(0)

    checkpoints.Checkpoint = EndProcess
    train_classifier.run(config)
    raise RuntimeError("train_classifier ended before its first step.")


if __name__ == "__main__":
    run_first_step()
