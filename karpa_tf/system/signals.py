"""Signals that ask a program to stop."""

import contextlib
import signal
import threading

from karpa_tf.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Ctrl-C, the warning of a batch queue (Slurm's `--signal=USR1`), and the usual signal to end a process."""


class StopSignals:
    """Context manager that records SIGTERM, SIGINT or SIGUSR1 in `received`, by name, instead of ending the program.

    A second Ctrl-C ends it at once. Outside the main thread, where Python handles no signals, it does nothing.
    """

    def __init__(self):
        self.received = None

    def __enter__(self):
        self.handling = _handle(SIGNALS, self._record)
        self.handling.__enter__()
        return self

    def __exit__(self, *error):
        self.handling.__exit__(*error)

    def _record(self, number, frame):
        if number == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name


def raise_on_signals():
    """Context manager in which SIGTERM and SIGUSR1 raise `Stopped`, as Ctrl-C raises KeyboardInterrupt."""

    def stop(number, frame):
        raise Stopped(f"Stopped by {signal.Signals(number).name}.")

    return _handle((signal.SIGTERM, signal.SIGUSR1), stop)


@contextlib.contextmanager
def _handle(numbers, handler):
    """Handles signals within a context; does nothing outside the main thread."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
