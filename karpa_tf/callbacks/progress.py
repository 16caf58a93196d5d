"""How far a run is."""

import sys
import time

import keras
import rich.progress

LINES = 40
"""At most so many epochs are reported in a log file."""


class Progress(keras.callbacks.Callback):
    """One bar for the whole run on a terminal; elsewhere a line after each epoch, or after some of many. Use `with`."""

    def __init__(self, first_epoch=0):
        super().__init__()
        self.first_epoch = first_epoch
        self.bar = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.bar:
            self.bar.stop()

    def on_train_begin(self, logs=None):
        if not sys.stdout.isatty():
            return
        columns = rich.progress
        self.bar = columns.Progress(
            columns.TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            columns.BarColumn(),
            columns.TaskProgressColumn(),
            columns.TextColumn("{task.fields[metrics]}"),
            columns.TimeElapsedColumn(),
            columns.TextColumn("left"),
            columns.TimeRemainingColumn(),
        )
        steps, epochs = self.params["steps"], self.params["epochs"]
        self.task = self.bar.add_task(
            "", total=(epochs - self.first_epoch) * steps, epoch=self.first_epoch, epochs=epochs, metrics=""
        )
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.since = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self.bar:
            self.bar.update(self.task, advance=1, metrics=self._in_words(logs))

    def on_epoch_end(self, epoch, logs=None):
        if self.bar:
            self.bar.update(self.task, epoch=epoch + 1)
        elif (epoch + 1) * LINES // self.params["epochs"] > epoch * LINES // self.params["epochs"]:
            seconds = time.perf_counter() - self.since
            print(f"epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f} s  {self._in_words(logs)}", flush=True)

    def _in_words(self, logs):
        names = [metric.name for metric in self.model.metrics]  # `fit` sorts them
        names = [name for name in [*names, *(f"val_{name}" for name in names)] if name in logs]
        return "  ".join(f"{name} {logs[name]:.3f}" for name in names)
