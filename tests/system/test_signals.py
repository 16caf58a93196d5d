import os
import signal
import threading

import pytest

from karpa_tf.errors import Stopped
from karpa_tf.system.signals import SIGNALS, StopSignals, raise_on_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_recorded_and_the_earlier_handler_restored(number):
    before = signal.getsignal(number)
    with StopSignals() as stop:
        os.kill(os.getpid(), number)
        assert stop.received == number.name
    assert signal.getsignal(number) is before


def test_a_second_interrupt_ends_the_program():
    with pytest.raises(KeyboardInterrupt), StopSignals():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_raise_an_exception_that_names_them(number):
    with pytest.raises(Stopped, match=f"Stopped by {number.name}"), raise_on_signals():
        os.kill(os.getpid(), number)


def test_a_signal_is_not_taken_for_an_error():
    with pytest.raises(Stopped), raise_on_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            pytest.fail("A file would be called damaged, and skipped.")


def test_outside_the_main_thread_no_handler_is_set():
    before, handlers = signal.getsignal(signal.SIGTERM), []

    def run():
        with StopSignals():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]
