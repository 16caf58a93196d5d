"""Keeps the best epoch's weights, and ends a run that gets no better."""

import json

import keras

from karpa_tf.files import digest, replace, write_text


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the lowest validation loss, and stops after so many epochs without a lower.

    What was best, and when, is read from disk after an interruption (Keras' own forgets it).

    Args:
        directory: the run's `checkpoints` folder; gets `best.weights.h5` and `best.json`.
        patience: epochs; 0 never stops.
    """

    def __init__(self, directory, patience=0):
        super().__init__()
        self.weights, self.record = directory / "best.weights.h5", directory / "best.json"
        self.patience = patience
        self.best = {"epoch": 0, "val_loss": float("inf")}
        if self.record.exists() and self.weights.exists():
            self.best = json.loads(self.record.read_text())

    def is_over(self, epochs):
        """Returns whether a run of so many epochs has been stopped."""
        return 0 < self.patience <= epochs - self.best["epoch"]

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        if logs["val_loss"] < self.best["val_loss"]:
            temporary = self.weights.with_name("writing.weights.h5")
            self.model.exported.save_weights(temporary)
            self.best = {"epoch": done, "val_loss": float(logs["val_loss"]), "sha256": digest(temporary)}
            replace(temporary, self.weights)
            write_text(self.record, json.dumps(self.best))
        elif self.is_over(done):
            self.model.stop_training = True
            print(f"Stopped after epoch {done}: the best was epoch {self.best['epoch']}.")
