"""One contender of a benchmark: a process that stays warm and trains for as many steps as it is told.

$ python -m benchmarks.contender WORK NAME FOLDER

It makes its first step, prints a line of facts, and then for every number n that comes in makes n steps and prints the
seconds they took; where no more comes, its peak memory in bytes. FOLDER is where `same_work` keeps what all contenders
of a work start from. TensorFlow and PyTorch stand in each other's way in one process; here each has its own.
"""

import dataclasses
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = ("tensorflow", "keras", "keras-hub", "torch", "transformers", "numpy")
"""Whose versions are recorded, where they are installed."""


@dataclasses.dataclass(frozen=True)
class Program:
    """What a contender does."""

    run: Callable
    """Takes a function of no arguments and calls it after every step, for ever; it ends by an exception of that."""

    parameters: int | None = None
    """Trainable weights."""

    loss: float | None = None
    """Of the weights and the batch that `same_work` gives."""

    data_bytes: int = 0
    """What the data take in memory: left out of the peak."""

    peak_bytes: Callable | None = None
    """Returns the peak memory; None is that of this process."""


def repeat(step):
    """Returns a `run` for a `Program` of a step that is a function of no arguments."""

    def run(after_step):
        while True:
            step()
            after_step()

    return run


class Finished(Exception):
    """Nobody asks for more steps."""


class Turns:
    """Stops a training loop between two steps until it is told how many more to make.

    Args:
        facts: dict, printed after the first step.
        asked: file of numbers of steps, a line each.
        answers: file that seconds are written to, a line each.
    """

    def __init__(self, facts, asked, answers):
        self.facts, self.asked, self.answers = facts, asked, answers
        self.left = 1

    def step_made(self):
        """Called after every step; raises `Finished` where there are to be no more."""
        self.left -= 1
        if self.left:
            return
        self._say(self.facts if self.facts else time.perf_counter() - self.start)
        self.facts = None
        line = self.asked.readline()
        if not line:
            raise Finished
        self.left = int(line)
        self.start = time.perf_counter()

    def _say(self, what):
        print(json.dumps(what), file=self.answers, flush=True)


def peak_bytes():
    """Returns the most memory that this process has had, in bytes, by Linux's account."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status names no VmHWM.")


def cores():
    """Returns the number of cores that this process may use: the threads of every contender."""
    return len(os.sched_getaffinity(0))


def versions():
    """Returns the versions of `PACKAGES` that are installed, by name."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def take_part(program, asked, answers):
    """Runs a `Program` for as many steps as are asked for, and says at the end what memory it took."""
    facts = {
        "parameters": program.parameters,
        "loss": program.loss,
        "threads": int(os.environ.get("OMP_NUM_THREADS", cores())),
    }
    turns = Turns(facts, asked, answers)
    try:
        program.run(turns.step_made)
    except Finished:
        peak = (program.peak_bytes or peak_bytes)()
        print(json.dumps(peak - program.data_bytes), file=answers, flush=True)


def main():
    from benchmarks.works import WORKS

    work, name, folder = sys.argv[1:]
    # Whatever a library prints is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contender = WORKS[work].contenders[name]
    take_part(contender.make(Path(folder), contender.precision), sys.stdin, answers)
    answers.close()
    os._exit(0)  # Threads that wait for data would hold the process.


if __name__ == "__main__":
    main()
