"""Metrics over the steps of a run: `metrics.csv` and TensorBoard."""

import contextlib
import csv
import itertools
import os
import time

import keras
import tensorflow as tf

from karpa_tf.system.files import replace, write_text
from karpa_tf.training.callbacks.window_means import MetricWindows


class MetricsLog(keras.callbacks.Callback):
    """Writes means of the metrics over every few steps to `metrics.csv` and TensorBoard.

    Args:
        run: a `Run`; workers that do not write only take part in the reductions.
        units_per_step: for the column `<unit>_per_second`.
        every: steps between two rows; the last step of an epoch always has a row.
        first_step: steps done before this start.
        validation: names of validation metrics; they are written in the last row of each epoch.
        unit: what throughput is counted in, in the plural.
    """

    def __init__(self, run, units_per_step, every, first_step=0, validation=(), unit="images"):
        super().__init__()
        self.validation, self.rate = tuple(validation), f"{unit}_per_second"
        self.run, self.units_per_step, self.every, self.step = run, units_per_step, every, first_step
        self.window, self.last_row, self.sums = MetricWindows(), None, None

    def on_train_begin(self, logs=None):
        if not self.run.writes:
            return
        self.writer = tf.summary.create_file_writer(str(self.run.tensorboard))
        self.file = open(self.run.metrics_file, "a", newline="")

    def get_state(self):
        """Returns what the next row depends on, and syncs the rows so far to disk."""
        if self.run.writes:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.writer.flush()
        return {"sums": self.window.sums, "last_row": self.last_row}

    def resume(self, state):
        """Continues from the result of `get_state`, or starts anew if it is None; what was written since is dropped."""
        if state:
            self.sums, self.last_row = state["sums"], state["last_row"]
        next_step = self.step if self.last_row else self.step + 1
        if self.run.writes and self.run.metrics_file.exists():
            self._drop_rows(next_step)
        if self.run.writes:
            _drop_events(self.run.tensorboard, next_step)

    def on_epoch_begin(self, epoch, logs=None):
        self.window.start_epoch(self.sums)
        self.epoch, self.since, self.closed = epoch, time.perf_counter(), self.step - epoch * self.params["steps"]

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        done = batch + 1
        if self.step % self.every and done != self.params["steps"]:
            return
        now = time.perf_counter()
        units = (done - self.closed) * self.units_per_step
        means = self.window.close([metric for metric in self.model.metrics if metric.name in logs])
        row = {"step": self.step, "epoch": self.epoch + done / self.params["steps"], **means}
        row[self.rate] = units / (now - self.since)
        self.since, self.closed = now, done
        if done == self.params["steps"]:
            self.last_row = row  # Validation is still to come.
        else:
            self._write_row(row)

    def on_epoch_end(self, epoch, logs=None):
        self._write_row(self.last_row | {name: logs[name] for name in self.validation if name in logs})
        self.sums = self.last_row = None
        self.window.start_epoch()

    def on_train_end(self, logs=None):
        if self.run.writes:
            self.file.close()
            self.writer.close()

    def _drop_rows(self, first_step):
        header, *rows = self.run.metrics_file.read_text().splitlines() or [""]
        # The last row may be incomplete.
        complete = [row for row in rows if row.count(",") == header.count(",")]
        kept = [row for row in complete if int(row.split(",")[0]) < first_step]
        write_text(self.run.metrics_file, "\n".join([header, *kept]) + "\n" if kept else "")

    def _write_row(self, row):
        if not self.run.writes:
            return
        with self.writer.as_default():
            for name in row.keys() - {"step", "epoch"}:
                tf.summary.scalar(name, row[name], step=self.step)
        row = dict.fromkeys(self.validation) | row
        columns = [*(name for name in row if name not in self.validation), *self.validation]
        table = csv.DictWriter(self.file, columns, lineterminator="\n")
        if not self.file.tell():
            table.writeheader()
        table.writerow({key: f"{value:.6g}" for key, value in row.items() if value is not None})
        self.file.flush()


def _drop_events(folder, first_step):
    """Rewrites the event files in a folder that have steps from `first_step` on: TensorBoard would show them twice.

    A `SessionLog.START` event is no help: TensorBoard 2.21 then drops scalars of version 1 only.
    """

    def read(file):
        with contextlib.suppress(tf.errors.DataLossError):  # a record that was not written to its end
            yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()

    def is_later(record):
        return tf.compat.v1.Event.FromString(record).step >= first_step

    for file in folder.glob("events.*"):
        if any(map(is_later, read(file))):
            temporary = folder / ".writing"
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for record in itertools.filterfalse(is_later, read(file)):
                    writer.write(record)
            replace(temporary, file)
