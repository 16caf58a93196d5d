"""Where the time of a step of karpa_tf goes in a workload, as in the summary of --profile.

$ python -m benchmarks.time_spent resnet20
$ python -m benchmarks.time_spent bert_small_30k --precision float32

Run nothing else on the machine meanwhile. The extra `bench` is not needed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.program import StopRun
from benchmarks.workloads import WORKLOADS, select_workloads
from karpa_tf.errors import UserError

WARMUP_STEPS, TIMED_STEPS, TRACED_STEPS = 5, 10, 10
"""Steps in this order: ignored, timed without the profiler, traced."""

OPTIMIZERS = ("adam", "sgd")
"""Names of the optimizers in the graph, without numeric suffixes."""

TRAINING = [name for name, workload in WORKLOADS.items() if "karpa_tf bfloat16" in workload.contenders]
"""Names of the workloads that train a model."""


class StepTracer:
    """Times and traces the steps of a program, then raises `StopRun`.

    Args:
        folder: path of the profiler's output.
        step_name: name of a step in the trace.
    """

    def __init__(self, folder, step_name):
        self.folder, self.step_name = folder, step_name
        self.times, self.trace = [], None

    @property
    def seconds_per_step(self):
        """Seconds per step without the profiler."""
        return (self.times[WARMUP_STEPS + TIMED_STEPS - 1] - self.times[WARMUP_STEPS - 1]) / TIMED_STEPS

    def after_step(self):
        """Call this after every step."""
        import tensorflow as tf

        self.times.append(time.perf_counter())
        steps_done = len(self.times)
        if self.trace:
            self.trace.__exit__(None, None, None)
        if steps_done == WARMUP_STEPS + TIMED_STEPS + TRACED_STEPS:
            tf.profiler.experimental.stop()
            raise StopRun
        if steps_done == WARMUP_STEPS + TIMED_STEPS:
            tf.profiler.experimental.start(self.folder)
        if steps_done >= WARMUP_STEPS + TIMED_STEPS:
            self.trace = tf.profiler.experimental.Trace(self.step_name, step_num=steps_done)
            self.trace.__enter__()


def profile(workload, precision):
    """Returns the summary of karpa_tf's steps in a `program.Workload`, in Markdown."""
    from karpa_tf.training import traces
    from karpa_tf.training.callbacks.profile import STEP, summarize

    with tempfile.TemporaryDirectory() as folder:
        program = workload.contenders[f"karpa_tf {precision}"].make(Path(folder), precision)
        tracer = StepTracer(folder, STEP)
        try:
            program.run(tracer.after_step)
        except StopRun:
            (path,) = Path(folder).rglob("*.xplane.pb")
            breakdown = traces.compute_breakdown(traces.load_trace(path), STEP, OPTIMIZERS)
    return summarize(breakdown, f"{workload.title}, karpa_tf in {precision}.", tracer.seconds_per_step)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="+", metavar="WORKLOAD", help=", ".join(TRAINING))
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    try:
        names = select_workloads(arguments.workloads)
        for name in names:
            if name not in TRAINING:
                raise UserError(f"{name} does not train a model; expected one of {', '.join(TRAINING)}.")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    for name in names:
        print(profile(WORKLOADS[name], arguments.precision))


if __name__ == "__main__":
    main()
