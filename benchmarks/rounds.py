"""Runs the contenders of a work in turn, each in its own warm process, and returns what was measured.

In every round each contender runs for about the same time while the others sleep, and each begins a round once. Rates
drift from minute to minute on any machine; the ratio of two rates of one round hardly does.
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

from benchmarks.contender import cores, versions
from karpa_tf.errors import UserError

ROOT = Path(__file__).parents[1]

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Variables by which PyTorch and TensorFlow are given as many threads as there are cores."""

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
"""Relative difference up to which two losses are the same."""


def compare(name, work, rounds, seconds_factor=1.0, quick=False, say=print):
    """Returns the record of one work, a dict that can be written as JSON.

    Args:
        name: of the work.
        work: a `works.Work`.
        rounds: how many.
        seconds_factor: how much of the work's time each contender runs in a round.
        quick: leave out those that are not for a quick run.
        say: function that is told how it goes, a line at a time.

    Raises:
        UserError: a contender stopped, or does other work than the first.
    """
    chosen = choose(work, quick, say)
    seconds = work.seconds * seconds_factor
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        running = {}
        # All others read what the first one writes.
        for names in [chosen[:1], *_in_groups(chosen[1:], cores())]:
            for contender in names:
                running[contender] = stack.enter_context(_Running(name, contender, Path(folder)))
            for contender in names:
                running[contender].wait_for_facts()
            require_same_work(name, work, {each: running[each].facts for each in running if running[each].facts})
        for contender in running.values():
            contender.warm_up(seconds / 2)
        for number in range(rounds):
            start = number % len(chosen)
            for contender in (*chosen[start:], *chosen[:start]):
                running[contender].measure(seconds, work.per_step)
            rates = "; ".join(f"{each} {show(running[each].rates[-1], work.unit)}" for each in chosen)
            say(f"{name}, round {number + 1} of {rounds}: {rates}")
        return {
            "title": work.title,
            "unit": work.unit,
            "date": datetime.date.today().isoformat(),
            "quick": quick,
            "rounds": rounds,
            "versions": versions(),
            "contenders": {
                each: {
                    "kind": work.contenders[each].kind,
                    "precision": work.contenders[each].precision,
                    "rates": [float(f"{rate:.6g}") for rate in running[each].rates],
                    "peak_gb": round(running[each].end() / 1e9, 3),
                    **running[each].facts,
                }
                for each in chosen
            },
        }


def require_same_work(name, work, facts):
    """Raises `UserError` where a contender trains other weights than the first, or has another loss.

    Args:
        name: of the work.
        work: the `Work`.
        facts: dict of the contenders' facts by name, the first one's first.
    """
    first = next(iter(facts))
    for other, found in facts.items():
        if found["parameters"] != facts[first]["parameters"]:
            raise UserError(
                f"{name}: {other} trains {found['parameters']} weights and {first} {facts[first]['parameters']}; "
                "expected the same network."
            )
        expected, precision = facts[first]["loss"], work.contenders[other].precision
        if expected is None:
            continue
        # Turned round, for a loss that is no number differs by nothing.
        if not abs(found["loss"] - expected) <= TOLERANCE[precision] * abs(expected):
            raise UserError(
                f"{name}: the loss of {other} is {found['loss']:.6f} and that of {first} {expected:.6f}, with the same "
                f"weights on the same batch; expected the same to {TOLERANCE[precision]:g} ({precision})."
            )


def show(rate, unit):
    """Returns a rate per second for people: of batches and starts, the time that one takes."""
    if unit == "batches":
        return f"{1000 / rate:.2f} ms"
    if unit == "starts":
        return f"{1 / rate:.2f} s"
    return f"{rate:,.0f} {unit}/s"


def choose(work, quick, say):
    """Returns the names of the contenders that can take part here, and are for a quick run if this is one."""
    chosen = []
    for name, contender in work.contenders.items():
        missing = [module for module in contender.needs if importlib.util.find_spec(module) is None]
        if missing:
            say(f"{name} is left out: {', '.join(missing)} is not installed (pip install -e '.[bench]')")
        elif contender.quick or not quick:
            chosen.append(name)
    return chosen


def _in_groups(names, size):
    return [names[start : start + size] for start in range(0, len(names), size)]


def command(work, name, folder):
    """Returns the words that start a contender's process."""
    return [sys.executable, "-m", "benchmarks.contender", work, name, str(folder)]


class _Running:
    """A contender's process, in which it sleeps until it is told to go on; a context that ends it."""

    def __init__(self, work, name, folder):
        self.work, self.name, self.facts, self.rates = work, name, None, []
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command(work, name, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | {name: str(cores()) for name in THREADS} | {"PYTHONPATH": str(ROOT)},
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

    def wait_for_facts(self):
        self.facts = self._answer()

    def warm_up(self, seconds):
        """Makes a step, and as many more as fit into the time, and remembers how long one takes."""
        self.step_seconds = self.run(1)
        steps = round(seconds / self.step_seconds)
        if steps:
            self.step_seconds = self.run(steps) / steps

    def measure(self, seconds, per_step):
        """Runs for about so long, and adds the rate."""
        steps = max(1, round(seconds / self.step_seconds))
        self.step_seconds = self.run(steps) / steps
        self.rates.append(per_step / self.step_seconds)

    def run(self, steps):
        """Returns the seconds that so many steps take."""
        with contextlib.suppress(BrokenPipeError):  # of one that has stopped, whose answer then says so
            print(steps, file=self.process.stdin, flush=True)
        return self._answer()

    def end(self):
        """Returns the most memory that it took, in bytes, its data left out."""
        self.process.stdin.close()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        said = "".join(self.errors.readlines()[-15:])
        raise UserError(f"{self.work}: {self.name} stopped with code {code}; its last words:\n{said}")
