"""Whether the data keeps up with the model."""

import keras


class InputWatch(keras.callbacks.Callback):
    """Counts the steps that found no batch ready: the input-bound share of a run.

    Args:
        meter: the `InputMeter` of the batches that are fitted.
    """

    def __init__(self, meter):
        super().__init__()
        self.meter, self.begun, self.waited = meter, 0, 0

    def on_train_batch_begin(self, batch, logs=None):
        # The first steps of a run wait for the pipeline to start, whatever its speed.
        if self.begun >= 4 and self.meter.ready <= self.begun:
            self.waited += 1
        self.begun += 1

    @property
    def share(self):
        """Share of the steps that had to wait, in [0, 1]."""
        return self.waited / max(self.begun - 4, 1)
