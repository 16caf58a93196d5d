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
        self.meter, self.begun = meter, 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.begun <= STARTING:
            self.waited_before, self.seconds = self.meter.waited, 0.0
        self.begun += 1
        self.since = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds += time.perf_counter() - self.since

    @property
    def share(self):
        """Share of the steps' time in which they waited, in [0, 1]."""
        if self.begun <= STARTING:
            return 0.0
        # Several replicas are served by a thread that also waits between the steps.
        return min((self.meter.waited - self.waited_before) / self.seconds, 1.0)

    def report(self, run):
        """Records the share in `run.json` and prints it, unless a finished run was only evaluated again."""
        if self.begun:
            run.record(input_bound_share=self.share)
            print(f"Input-bound: {self.share:.1%} of the steps' time was spent waiting for data")
