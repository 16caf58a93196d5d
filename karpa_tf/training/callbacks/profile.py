"""Where the time of a step goes: a trace for TensorBoard, and one page for people."""

import time

import keras
import tensorflow as tf

from karpa_tf.system.files import write_text
from karpa_tf.training import traces

TRACED = 10
"""Steps, at most; a third of an epoch if that is less."""

WARM_UP = 5
"""Steps that are not looked at, where an epoch has more: in the first, graphs are built and the pipeline starts."""

STEP = "train_step"


class Profile(keras.callbacks.Callback):
    """Traces a few steps in the middle of the first epoch of a start, and writes a summary of where their time went.

    Args:
        run: a `Run`; its folder `profile` gets what TensorBoard reads, and `summary.md`.
        what: what is trained on what, a few words for the summary.
    """

    def __init__(self, run, what):
        super().__init__()
        self.run, self.what = run, what
        self.made, self.left, self.trace = 0, None, None

    def on_train_begin(self, logs=None):
        steps = self.params["steps"]
        self.count = max(1, min(TRACED, steps // 3))
        self.first = max((steps - self.count) // 2, min(WARM_UP, steps - self.count))

    def on_epoch_begin(self, epoch, logs=None):
        self.warm = None

    def on_train_batch_begin(self, batch, logs=None):
        now = time.perf_counter()
        if self.warm is None and self.made >= min(WARM_UP, self.first - 1):
            self.warm = self.made, now
        # Never over the end of an epoch, where the program does other things.
        if self.left is None and self.made >= self.first and batch + self.count <= self.params["steps"]:
            self.left, self.number = self.count, batch + 1
            begun, since = self.warm
            self.seconds_before = (now - since) / (self.made - begun) if self.made > begun else None
            tf.profiler.experimental.start(str(self.run.profile))
        if self.left:
            self.trace = tf.profiler.experimental.Trace(STEP, step_num=batch)
            self.trace.__enter__()

    def on_train_batch_end(self, batch, logs=None):
        self.made += 1
        if self.left:
            self.trace.__exit__(None, None, None)
            self.left -= 1
            if not self.left:
                tf.profiler.experimental.stop()
                self._report()

    def on_train_end(self, logs=None):
        if self.left is None and self.made:
            print(f"--profile has traced nothing: {self.made} steps were left, too few.")

    def _report(self):
        newest = max(self.run.profile.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
        found = traces.breakdown(traces.read(newest), STEP, optimizer_names(self.model.optimizers))
        what = f"{self.what}: steps {self.number:,} to {self.number + self.count - 1:,} of an epoch."
        path = self.run.profile / "summary.md"
        write_text(path, summary(found, what, self.seconds_before))
        print(f"Profile     {path}")


def optimizer_names(optimizers):
    """Returns the names of optimizers, and of those that they wrap."""
    inner = [optimizer.inner_optimizer for optimizer in optimizers if hasattr(optimizer, "inner_optimizer")]
    return [optimizer.name for optimizer in [*optimizers, *inner]]


def summary(found, what, seconds_before=None):
    """Returns a page in Markdown.

    Args:
        found: a `traces.Breakdown`.
        what: a sentence that says what was traced.
        seconds_before: how long a step took without the profiler, or None.
    """
    per_step = found.seconds / found.steps

    def columns(seconds):
        return f"{1e3 * seconds / found.steps:.2f} | {seconds / found.seconds:.1%} |"

    lines = ["# Where the time of a step went", "", what, ""]
    lines += ["| | ms per step | steps per second |", "| --- | ---: | ---: |"]
    rates = [("while traced", per_step), *([("before", seconds_before)] if seconds_before else [])]
    lines += [f"| {name} | {1e3 * seconds:.2f} | {1 / seconds:.2f} |" for name, seconds in rates]
    lines += ["", "| what | ms per step | share |", "| --- | ---: | ---: |"]
    lines += [
        f"| {kind} | {columns(seconds)}" for kind, seconds in sorted(found.kinds.items(), key=lambda item: -item[1])
    ]
    lines += [f"| all | {columns(found.seconds)}", ""]
    lines += ["Where several operations ran at once, each counts for an equal part of that time. Beside all this, the"]
    lines += [f"input pipeline worked for {1e3 * found.pipeline / found.steps:.2f} ms per step on threads of its own."]
    lines += ["", "## The ten most expensive operations", ""]
    lines += ["| operation | kernel | calls per step | ms per step | share |", "| --- | --- | ---: | ---: | ---: |"]
    for operation, (seconds, calls) in sorted(found.operations.items(), key=lambda item: -item[1][0])[:10]:
        lines.append(f"| {operation.name} | {operation.type} | {calls / found.steps:.4g} | {columns(seconds)}")
    lines += ["", "`tensorboard --logdir` with this folder shows every event, given tensorboard-plugin-profile.", ""]
    return "\n".join(lines)
