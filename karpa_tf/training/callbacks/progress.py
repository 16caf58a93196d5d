"""Progress of a run."""

import sys
import time

import keras
import rich.progress

MAX_LINES = 40
"""Maximum number of lines in a log file."""


class Progress(keras.callbacks.Callback):
    """Context manager and callback: a progress bar on a terminal, otherwise a line after each epoch, or some of many.

    Both show the throughput of the epoch so far and the fraction of its time spent waiting for input.

    Args:
        units_per_step: number of images, or other units, per step.
        unit: what throughput is counted in, in the plural.
        first_step: steps done before this start.
        watch: an `InputWatch`, before this in the list of callbacks, or None.
    """

    def __init__(self, units_per_step, unit="images", first_step=0, watch=None):
        super().__init__()
        self.units_per_step, self.unit, self.first_step, self.watch = units_per_step, unit, first_step, watch
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
            columns.TextColumn("{task.fields[rate]}"),
            columns.TextColumn("{task.fields[metrics]}"),
            columns.TimeElapsedColumn(),
            columns.TextColumn("left"),
            columns.TimeRemainingColumn(),
        )
        steps, epochs, blank = self.params["steps"], self.params["epochs"], {"rate": "", "metrics": ""}
        self.task = self.bar.add_task(
            "", total=epochs * steps, completed=self.first_step, epoch=self.first_step // steps, epochs=epochs, **blank
        )
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.since, self.steps, self.rate = time.perf_counter(), 0, ""

    def on_train_batch_end(self, batch, logs=None):
        # Not at the end of the epoch, which comes after validation.
        seconds = time.perf_counter() - self.since
        self.steps += 1
        self.rate = f"{self.steps * self.units_per_step / seconds:,.0f} {self.unit}/s"
        waiting = self.watch and self.watch.epoch_fraction
        if waiting is not None:
            self.rate += f", {waiting:.0%} waiting for input"
        if self.bar:
            self.bar.update(self.task, advance=1, rate=self.rate, metrics=self._format_metrics(logs))

    def on_epoch_end(self, epoch, logs=None):
        if self.bar:
            self.bar.update(self.task, epoch=epoch + 1)
        elif (epoch + 1) * MAX_LINES // self.params["epochs"] > epoch * MAX_LINES // self.params["epochs"]:
            seconds = time.perf_counter() - self.since
            done = f"epoch {epoch + 1}/{self.params['epochs']}"
            print(f"{done}  {seconds:.1f} s  {self.rate}  {self._format_metrics(logs)}", flush=True)

    def _format_metrics(self, logs):
        names = [metric.name for metric in self.model.metrics]  # `fit` sorts them by name
        names = [name for name in [*names, *(f"val_{name}" for name in names)] if name in logs]
        return "  ".join(f"{name} {logs[name]:.3f}" for name in names)
