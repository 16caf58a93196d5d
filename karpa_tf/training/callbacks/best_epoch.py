"""Keeps the weights of the best epoch, and stops early."""

import json

import keras

from karpa_tf.distribution import collectives
from karpa_tf.system.files import digest, replace, write_text


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the lowest value, and stops after `patience` epochs without a lower one.

    After an interruption the best epoch is read from disk, which Keras' own callbacks do not do.

    Args:
        run: a `Run`; its `checkpoints` folder gets `best-epoch-<epoch>.weights.h5` and `best.json`, which names it.
        patience: epochs; 0 never stops.
        monitor: name of the value in the logs of an epoch; epochs without it are passed over.
    """

    def __init__(self, run, patience=0, monitor="val_loss"):
        super().__init__()
        self.writes, self.patience, self.folder, self.monitor = run.writes, patience, run.checkpoints, monitor
        self.record = run.checkpoints / "best.json"
        best = {"epoch": 0, monitor: float("inf")}
        if run.writes and self.record.exists() and find_best_file(self.record).exists():
            best = json.loads(self.record.read_text())
            self._remove_others()  # A killed program may have left its file.
        self.best = collectives.broadcast_object(best)

    def is_over(self, epochs):
        """Returns whether a run has been stopped early by the end of this number of epochs."""
        return 0 < self.patience <= epochs - self.best["epoch"]

    def on_epoch_end(self, epoch, logs=None):
        epochs, value = epoch + 1, logs.get(self.monitor)
        if value is None:
            return
        if value < self.best[self.monitor]:
            self.best = {"epoch": epochs, self.monitor: float(value)}
            if self.writes:
                self._save()
        elif self.is_over(epochs):
            self.model.stop_training = True
            print(f"Stopped early after epoch {epochs}: the best was epoch {self.best['epoch']}.")

    def _save(self):
        temporary = self.folder / "best-writing.weights.h5"
        self.model.exported.save_weights(temporary)
        weights, checksum = self.folder / f"best-epoch-{self.best['epoch']:05d}.weights.h5", digest(temporary)
        replace(temporary, weights)
        write_text(self.record, json.dumps(self.best | {"file": weights.name, "sha256": checksum}))
        self._remove_others()

    def _remove_others(self):
        kept = find_best_file(self.record)
        for file in self.folder.glob("best*.weights.h5"):
            if file != kept:
                file.unlink()


def find_best_file(record):
    """Returns the path of the weights that a file `best.json` is about."""
    return record.with_name(json.loads(record.read_text()).get("file", "best.weights.h5"))
