"""Requests to stop, noted until it is a good moment to do so."""

import contextlib
import signal
import threading

from karpa_tf.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""From a user's Ctrl-C, a batch queue's warning (Slurm's `--signal=USR1`), and whatever ends processes."""


class StopSignals:
    """Notes SIGTERM, SIGINT and SIGUSR1 in `received`, by name, instead of ending the program. Use `with`.

    A second Ctrl-C ends it at once. Outside the main thread, where Python takes no signals, nothing is noted.
    """

    def __init__(self):
        self.received = None

    def __enter__(self):
        self.handling = _handled(SIGNALS, self._note)
        self.handling.__enter__()
        return self

    def __exit__(self, *error):
        self.handling.__exit__(*error)

    def _note(self, number, frame):
        if number == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name


def raise_on_signals():
    """Makes SIGTERM and SIGUSR1 end the program as Ctrl-C does, by an exception: `Stopped`. Use `with`."""

    def stop(number, frame):
        raise Stopped(f"Stopped by {signal.Signals(number).name}.")

    return _handled((signal.SIGTERM, signal.SIGUSR1), stop)


@contextlib.contextmanager
def _handled(numbers, handler):
    """Python takes signals in the main thread only."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
