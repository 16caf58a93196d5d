"""Whether the input pipeline keeps up with the model."""

import time

import keras

STARTUP_STEPS = 4
"""The first steps of a run wait for the pipeline to start; they are not counted."""


class InputWatch(keras.callbacks.Callback):
    """Measures the fraction of the steps' time that is spent waiting for input.

    Args:
        meter: the `InputMeter` of the training dataset.
    """

    def __init__(self, meter):
        super().__init__()
        self.meter, self.steps, self.seconds, self.starts = meter, 0, 0.0, {}

    def on_epoch_begin(self, epoch, logs=None):
        self.starts.pop("epoch", None)

    def on_train_batch_begin(self, batch, logs=None):
        for span in ("run", "epoch"):
            if self.steps <= STARTUP_STEPS or span not in self.starts:
                self.starts[span] = self.meter.wait_seconds, self.seconds
        self.steps += 1
        self.since = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds += time.perf_counter() - self.since

    @property
    def fraction(self):
        """Fraction of the run, in [0, 1]."""
        return self._fraction("run") or 0.0

    @property
    def epoch_fraction(self):
        """Fraction of the epoch so far, or None before it can be measured."""
        return self._fraction("epoch")

    def report(self, run):
        """Writes the fraction to `run.json` and prints it, unless no step was done."""
        if self.steps:
            run.update_metadata(input_bound_fraction=self.fraction)
            print(f"Waiting for input: {self.fraction:.1%} of the steps' time")

    def _fraction(self, span):
        if self.steps <= STARTUP_STEPS or span not in self.starts:
            return None
        wait_seconds, seconds = self.starts[span]
        if self.seconds <= seconds:
            return None
        # Several replicas are fed by a thread that also waits between the steps.
        return min((self.meter.wait_seconds - wait_seconds) / (self.seconds - seconds), 1.0)
