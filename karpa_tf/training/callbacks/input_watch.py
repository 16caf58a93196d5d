"""Whether the data keeps up with the model."""

import time

import keras

STARTING = 4
"""The first steps of a run wait for the pipeline to start, whatever its speed; they are left out."""


class InputWatch(keras.callbacks.Callback):
    """Sums up the time of the steps and that for which they waited for data: the input-bound share of a run.

    Args:
        meter: the `InputMeter` of the batches that are fitted.
    """

    def __init__(self, meter):
        super().__init__()
        self.meter, self.begun, self.seconds, self.starts = meter, 0, 0.0, {}

    def on_epoch_begin(self, epoch, logs=None):
        self.starts.pop("epoch", None)

    def on_train_batch_begin(self, batch, logs=None):
        for span in ("run", "epoch"):
            if self.begun <= STARTING or span not in self.starts:
                self.starts[span] = self.meter.wait_seconds, self.seconds
        self.begun += 1
        self.since = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds += time.perf_counter() - self.since

    @property
    def share(self):
        """Share of the steps' time in which they waited, in [0, 1]."""
        return self._share("run") or 0.0

    @property
    def epoch_fraction(self):
        """The same of this epoch alone so far, or None while there is nothing to go by."""
        return self._share("epoch")

    def report(self, run):
        """Records the share in `run.json` and prints it, unless a finished run was only evaluated again."""
        if self.begun:
            run.update_metadata(input_bound_fraction=self.share)
            print(f"Input-bound: {self.share:.1%} of the steps' time was spent waiting for data")

    def _share(self, span):
        if self.begun <= STARTING or span not in self.starts:
            return None
        waited, seconds = self.starts[span]
        if self.seconds <= seconds:
            return None
        # Several replicas are served by a thread that also waits between the steps.
        return min((self.meter.wait_seconds - waited) / (self.seconds - seconds), 1.0)
