"""What a process prints: messages, progress bars, and TensorFlow's log messages."""

import contextlib
import os
import sys

_is_muted = False


def repair_streams():
    """Makes printing safe: closed standard streams become the null device, and characters that a stream cannot encode
    are printed as escapes.

    Call it before files are opened, which would otherwise get the number of a closed stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
        with contextlib.suppress(AttributeError):  # replaced by a stream of another kind, as in tests
            getattr(sys, name).reconfigure(errors="backslashreplace")


def mute():
    """Silences this process: standard output goes to the null device, and `warn` does nothing.

    For all workers but the chief.
    """
    global _is_muted
    _is_muted = True
    sys.stdout = open(os.devnull, "w")


def warn(message):
    """Prints a warning to standard error, unless the process is muted."""
    if not _is_muted:
        print(f"warning: {message}", file=sys.stderr)


@contextlib.contextmanager
def mute_stderr():
    """Redirects standard error to the null device, also for C++ code, which no Python setting reaches."""
    sys.stderr.flush()
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def hide_tensorflow_messages():
    """Imports TensorFlow and Keras, and hides the log messages of their C++ code about oneDNN, CUDA and the CPU.

    The environment variable hides messages after the import, except for fatal errors; for messages during the import
    TensorFlow 2.21 has no setting.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with mute_stderr():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


def track(items, description, total=None):
    """Returns an iterator over `items` that shows a progress bar, on a terminal only.

    Args:
        items: an iterable.
        description: text beside the bar.
        total: number of items, or None if it is not known.
    """
    from rich import progress  # takes 30 ms, which --help does not need

    return progress.track(items, description, total=total, transient=True, disable=not sys.stdout.isatty())
