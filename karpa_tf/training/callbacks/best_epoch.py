"""Keeps the best epoch's weights, and ends a run that gets no better."""

import json

import keras

from karpa_tf.distribution import collectives as workers
from karpa_tf.system.files import digest, replace, write_text


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the lowest validation loss, and stops after so many epochs without a lower.

    What was best, and when, is read from disk after an interruption (Keras' own forgets it).

    Args:
        run: a `Run`; its `checkpoints` folder gets `best.weights.h5` and `best.json`.
        patience: epochs; 0 never stops.
    """

    def __init__(self, run, patience=0):
        super().__init__()
        self.writes, self.patience = run.writes, patience
        self.weights, self.record = run.checkpoints / "best.weights.h5", run.checkpoints / "best.json"
        best = {"epoch": 0, "val_loss": float("inf")}
        if run.writes and self.record.exists() and self.weights.exists():
            best = json.loads(self.record.read_text())
        self.best = workers.broadcast_object(best)

    def is_over(self, epochs):
        """Returns whether a run of so many epochs has been stopped."""
        return 0 < self.patience <= epochs - self.best["epoch"]

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        if logs["val_loss"] < self.best["val_loss"]:
            self.best = {"epoch": done, "val_loss": float(logs["val_loss"])}
            if self.writes:
                self._save()
        elif self.is_over(done):
            self.model.stop_training = True
            print(f"Stopped after epoch {done}: the best was epoch {self.best['epoch']}.")

    def _save(self):
        temporary = self.weights.with_name("writing.weights.h5")
        self.model.exported.save_weights(temporary)
        checksum = digest(temporary)
        replace(temporary, self.weights)
        write_text(self.record, json.dumps(self.best | {"sha256": checksum}))
