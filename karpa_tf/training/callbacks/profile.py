"""Where the time of a step goes: a trace for TensorBoard, and a summary in Markdown."""

import time

import keras
import tensorflow as tf

from karpa_tf.system.files import write_text
from karpa_tf.training import traces

MAX_STEPS = 10
"""Maximum number of traced steps; a third of an epoch if that is less."""

WARMUP_STEPS = 5
"""Steps that are not traced if an epoch has more: graphs are built and the pipeline starts in the first ones."""

STEP = "train_step"


class Profile(keras.callbacks.Callback):
    """Traces a few steps in the middle of the first epoch after a start, and writes a summary of where their time went.

    Args:
        run: a `Run`; its folder `profile` gets the trace for TensorBoard and `summary.md`.
        title: what is trained on which device, for the summary.
    """

    def __init__(self, run, title):
        super().__init__()
        self.run, self.title = run, title
        self.steps_done, self.left, self.trace = 0, None, None

    def on_train_begin(self, logs=None):
        steps = self.params["steps"]
        self.count = max(1, min(MAX_STEPS, steps // 3))
        self.first = max((steps - self.count) // 2, min(WARMUP_STEPS, steps - self.count))

    def on_epoch_begin(self, epoch, logs=None):
        self.warm = None

    def on_train_batch_begin(self, batch, logs=None):
        now = time.perf_counter()
        if self.warm is None and self.steps_done >= min(WARMUP_STEPS, self.first - 1):
            self.warm = self.steps_done, now
        # Not across the end of an epoch, where the program does other things.
        if self.left is None and self.steps_done >= self.first and batch + self.count <= self.params["steps"]:
            self.left, self.number = self.count, batch + 1
            start, since = self.warm
            self.seconds_before = (now - since) / (self.steps_done - start) if self.steps_done > start else None
            tf.profiler.experimental.start(str(self.run.profile))
        if self.left:
            self.trace = tf.profiler.experimental.Trace(STEP, step_num=batch)
            self.trace.__enter__()

    def on_train_batch_end(self, batch, logs=None):
        self.steps_done += 1
        if self.left:
            self.trace.__exit__(None, None, None)
            self.left -= 1
            if not self.left:
                tf.profiler.experimental.stop()
                self._report()

    def on_train_end(self, logs=None):
        if self.left is None and self.steps_done:
            print(f"--profile traced nothing: only {self.steps_done} steps were left.")

    def _report(self):
        newest = max(self.run.profile.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
        names = get_optimizer_names(self.model.optimizers)
        breakdown = traces.compute_breakdown(traces.load_trace(newest), STEP, names)
        description = f"{self.title}: steps {self.number:,} to {self.number + self.count - 1:,} of an epoch."
        path = self.run.profile / "summary.md"
        write_text(path, summarize(breakdown, description, self.seconds_before))
        print(f"Profile     {path}")


def get_optimizer_names(optimizers):
    """Returns the names of optimizers and of the optimizers that they wrap."""
    inner = [optimizer.inner_optimizer for optimizer in optimizers if hasattr(optimizer, "inner_optimizer")]
    return [optimizer.name for optimizer in [*optimizers, *inner]]


def summarize(breakdown, description, seconds_before=None):
    """Returns the summary in Markdown.

    Args:
        breakdown: a `traces.Breakdown`.
        description: a sentence that says what was traced.
        seconds_before: seconds per step without the profiler, or None.
    """
    per_step = breakdown.seconds / breakdown.steps

    def columns(seconds):
        return f"{1e3 * seconds / breakdown.steps:.2f} | {seconds / breakdown.seconds:.1%} |"

    lines = ["# Where the time of a step went", "", description, ""]
    lines += ["| | ms per step | steps per second |", "| --- | ---: | ---: |"]
    rates = [("while traced", per_step), *([("before", seconds_before)] if seconds_before else [])]
    lines += [f"| {name} | {1e3 * seconds:.2f} | {1 / seconds:.2f} |" for name, seconds in rates]
    lines += ["", "| kind | ms per step | fraction |", "| --- | ---: | ---: |"]
    lines += [
        f"| {kind} | {columns(seconds)}" for kind, seconds in sorted(breakdown.kinds.items(), key=lambda item: -item[1])
    ]
    lines += [f"| all | {columns(breakdown.seconds)}", ""]
    lines += ["While several operations ran at once, their time is divided equally. In addition, the"]
    lines += [
        f"input pipeline worked for {1e3 * breakdown.pipeline / breakdown.steps:.2f} ms per step on threads of its own."
    ]
    lines += ["", "## The ten most expensive operations", ""]
    lines += ["| operation | kernel | calls per step | ms per step | fraction |", "| --- | --- | ---: | ---: | ---: |"]
    for operation, (seconds, calls) in sorted(breakdown.operations.items(), key=lambda item: -item[1][0])[:10]:
        lines.append(f"| {operation.name} | {operation.type} | {calls / breakdown.steps:.4g} | {columns(seconds)}")
    lines += ["", "`tensorboard --logdir` with this folder shows every event, given tensorboard-plugin-profile.", ""]
    return "\n".join(lines)
