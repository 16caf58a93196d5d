"""TensorFlow without its chatter."""

import os
import sys

import rich.console
import rich.progress

from karpa_tf.distribution import cluster


def hide_tensorflow_messages():
    """Imports TensorFlow and Keras while nothing that their C++ code says of oneDNN, CUDA or the CPU is shown.

    The environment variable silences what comes after the import, short of fatal errors; what comes during the import
    (TensorFlow 2.21) knows no switch, so standard error is turned away for as long as that takes.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def warn(message):
    """Prints a warning to standard error; of several workers the chief does."""
    if not cluster.is_chief():
        return
    rich.console.Console(stderr=True, soft_wrap=True, highlight=False).print(f"warning: {message}", markup=False)


def track(items, description, total=None):
    """Returns an iterator of `items` that shows a bar while it runs, on a terminal only.

    Args:
        items: an iterable.
        description: what is being done.
        total: number of items; None where nobody knows it yet.
    """
    shown = sys.stdout.isatty()
    return rich.progress.track(items, description, total=total, transient=True, disable=not shown)
