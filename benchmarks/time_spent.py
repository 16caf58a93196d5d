"""Where the time of a step of a benchmark's work goes in karpa_tf, as --profile says it of a run.

$ python -m benchmarks.time_spent resnet20
$ python -m benchmarks.time_spent bert_small_30k --precision float32

Nothing else should run on the machine. Without the extra `bench`, too.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.__main__ import chosen
from benchmarks.contender import Finished
from benchmarks.works import WORKS
from karpa_tf.errors import UserError

WARM_UP, TIMED, TRACED = 5, 10, 10
"""Steps that are left out, then those whose time is taken without the profiler, then those with it."""

OPTIMIZERS = ("adam", "sgd")
"""What they are called in the graph, numbers left out."""

TRAINED = [name for name, work in WORKS.items() if "karpa_tf bfloat16" in work.contenders]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="+", metavar="WORK", help=", ".join(TRAINED))
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    try:
        names = chosen(arguments.works)
        for name in names:
            if name not in TRAINED:
                raise UserError(f"{name} trains nothing; expected one of {', '.join(TRAINED)}.")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    for name in names:
        print(profiled(WORKS[name], arguments.precision))


def profiled(work, precision):
    """Returns the page of a `works.Work` in one precision."""
    import tensorflow as tf

    from karpa_tf.training import traces
    from karpa_tf.training.callbacks.profile import STEP, summary

    with tempfile.TemporaryDirectory() as folder:
        program = work.contenders[f"karpa_tf {precision}"].make(Path(folder), precision)
        made, times, trace = 0, [], None

        def after_step():
            nonlocal made, trace
            made += 1
            times.append(time.perf_counter())
            if trace:
                trace.__exit__(None, None, None)
            if made == WARM_UP + TIMED + TRACED:
                tf.profiler.experimental.stop()
                raise Finished
            if made == WARM_UP + TIMED:
                tf.profiler.experimental.start(folder)
            if made >= WARM_UP + TIMED:
                trace = tf.profiler.experimental.Trace(STEP, step_num=made)
                trace.__enter__()

        try:
            program.run(after_step)
        except Finished:
            (path,) = Path(folder).rglob("*.xplane.pb")
            found = traces.breakdown(traces.read(path), STEP, OPTIMIZERS)
    before = (times[WARM_UP + TIMED - 1] - times[WARM_UP - 1]) / TIMED
    return summary(found, f"{work.title}, karpa_tf in {precision}.", before)


if __name__ == "__main__":
    main()
