"""Runs the contenders of a workload in turn, each in its own warm process, and returns what was measured.

In every round each contender runs for about the same time while the others sleep, and the contender that comes first
changes from round to round. Rates drift from minute to minute on any machine; the ratio of two rates within a round
hardly does.
"""

import contextlib
import datetime
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import count_cores, package_versions
from benchmarks.results import format_rate
from karpa_tf.errors import UserError

ROOT = Path(__file__).parents[1]

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Environment variables that set the number of threads of PyTorch and TensorFlow to the number of cores."""

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
"""Maximum relative difference between the losses of two contenders, by precision."""


def compare(name, workload, rounds, seconds_factor=1.0, quick=False, say=print):
    """Returns the record of one workload, a dict that can be written as JSON.

    Args:
        name: name of the workload.
        workload: a `workloads.Workload`.
        rounds: number of rounds.
        seconds_factor: factor of the time for which each contender runs in a round.
        quick: leave out the contenders that are not for quick runs.
        say: function of a line of text, for progress.

    Raises:
        UserError: a contender stopped, or its network or loss differs from the first one's.
    """
    names = select_contenders(workload, quick, say)
    seconds = workload.seconds * seconds_factor
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        processes = _start(name, workload, names, Path(folder), stack)
        for process in processes.values():
            process.warm_up(seconds / 2)
        for number in range(rounds):
            first = number % len(names)
            for contender in (*names[first:], *names[:first]):
                processes[contender].measure(seconds, workload.units_per_step)
            rates = "; ".join(f"{each} {format_rate(processes[each].rates[-1], workload.unit)}" for each in names)
            say(f"{name}, round {number + 1} of {rounds}: {rates}")
        return {
            "title": workload.title,
            "unit": workload.unit,
            "date": datetime.date.today().isoformat(),
            "quick": quick,
            "rounds": rounds,
            "versions": package_versions(),
            "contenders": {each: _make_record(workload.contenders[each], processes[each]) for each in names},
        }


def select_contenders(workload, quick, say):
    """Returns the names of the contenders whose packages are installed; in a quick run, of those for quick runs."""
    names = []
    for name, contender in workload.contenders.items():
        missing = [module for module in contender.needs if importlib.util.find_spec(module) is None]
        if missing:
            say(f"{name} is left out: {', '.join(missing)} is not installed (pip install -e '.[bench]')")
        elif contender.quick or not quick:
            names.append(name)
    return names


def _start(name, workload, names, folder, stack):
    """Returns the contenders' processes by name, each after its first step."""
    processes = {}
    # The first contender writes the weights that all others read.
    for group in [names[:1], *_split(names[1:], count_cores())]:
        for contender in group:
            processes[contender] = stack.enter_context(_ContenderProcess(name, contender, folder))
        for contender in group:
            processes[contender].wait_for_metadata()
        require_same_work(name, workload, {each: process.metadata for each, process in processes.items()})
    return processes


def _split(names, size):
    return [names[start : start + size] for start in range(0, len(names), size)]


def require_same_work(name, workload, metadata):
    """Raises `UserError` if a contender's number of weights or its loss differs from the first one's.

    Args:
        name: name of the workload.
        workload: a `workloads.Workload`.
        metadata: dict from the contenders' names to dicts with `parameters` and `loss`.
    """
    first = next(iter(metadata))
    for other, values in metadata.items():
        if values["parameters"] != metadata[first]["parameters"]:
            raise UserError(
                f"{name}: {other} trains {values['parameters']} weights and {first} {metadata[first]['parameters']}; "
                "expected the same network."
            )
        expected, tolerance = metadata[first]["loss"], TOLERANCE[workload.contenders[other].precision]
        if expected is None:
            continue
        # Written with `not` so that a NaN is refused.
        if not abs(values["loss"] - expected) <= tolerance * abs(expected):
            raise UserError(
                f"{name}: the loss of {other} is {values['loss']:.6f} and that of {first} {expected:.6f}, with the "
                "same weights on the same batch; expected a relative difference of at most "
                f"{tolerance:g} ({workload.contenders[other].precision})."
            )


def _make_record(contender, process):
    return {
        "kind": contender.kind,
        "precision": contender.precision,
        "rates": [float(f"{rate:.6g}") for rate in process.rates],
        "peak_gb": round(process.end() / 1e9, 3),
        **process.metadata,
    }


def make_command(workload, name, folder):
    """Returns the command that starts a contender's process."""
    return [sys.executable, "-m", "benchmarks.contender", workload, name, str(folder)]


class _ContenderProcess:
    """A contender's process, which sleeps while no steps are requested; a context manager that ends it.

    Args:
        workload: name of the workload.
        name: name of the contender.
        folder: path of the shared weights.
    """

    def __init__(self, workload, name, folder):
        self.workload, self.name, self.metadata, self.rates = workload, name, None, []
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            make_command(workload, name, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | {name: str(count_cores()) for name in THREADS} | {"PYTHONPATH": str(ROOT)},
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def wait_for_metadata(self):
        self.metadata = self._reply()

    def warm_up(self, seconds):
        """Runs one step, then as many as fit into the time, and measures the time per step."""
        self.step_seconds = self.run(1)
        steps = round(seconds / self.step_seconds)
        if steps:
            self.step_seconds = self.run(steps) / steps

    def measure(self, seconds, units_per_step):
        """Runs for about this time, and appends the rate in units per second to `rates`."""
        steps = max(1, round(seconds / self.step_seconds))
        self.step_seconds = self.run(steps) / steps
        self.rates.append(units_per_step / self.step_seconds)

    def run(self, steps):
        """Returns the seconds that a number of steps takes."""
        with contextlib.suppress(BrokenPipeError):  # If the process has ended, `_reply` says so.
            print(steps, file=self.process.stdin, flush=True)
        return self._reply()

    def end(self):
        """Returns the peak memory without the data set, in bytes."""
        self.process.stdin.close()
        return self._reply()

    def _reply(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        output = "".join(self.errors.readlines()[-15:])
        raise UserError(f"{self.workload}: {self.name} stopped with code {code}; its last output:\n{output}")
