"""The process of one contender: it stays warm and runs as many steps as are requested.

$ python -m benchmarks.contender WORKLOAD CONTENDER FOLDER

After the first step it prints its metadata as JSON. Then it reads numbers of steps from standard input, one per line,
and prints the seconds that they took. At the end of the input it prints its peak memory in bytes. FOLDER holds the
weights and the batch that all contenders of a workload start from (`shared_weights`). TensorFlow and PyTorch interfere
with each other in one process, so every contender has its own.
"""

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.machine import count_cores, peak_memory
from benchmarks.program import StopRun
from benchmarks.workloads import WORKLOADS


class StepController:
    """Pauses a program between two steps until the number of further steps is requested.

    Args:
        metadata: dict, printed after the first step.
        requests: file of numbers of steps, one per line.
        replies: file to write to, one JSON value per line.
    """

    def __init__(self, metadata, requests, replies):
        self.metadata, self.requests, self.replies = metadata, requests, replies
        self.steps_left = 1

    def after_step(self):
        """Counts a step; raises `StopRun` if no more are requested."""
        self.steps_left -= 1
        if self.steps_left:
            return
        _send(self.metadata if self.metadata else time.perf_counter() - self.start, self.replies)
        self.metadata = None
        line = self.requests.readline()
        if not line:
            raise StopRun
        self.steps_left = int(line)
        self.start = time.perf_counter()


def serve(program, requests, replies):
    """Runs a `Program` for as many steps as are requested, then writes its peak memory.

    Args:
        program: a `Program`.
        requests: as for `StepController`.
        replies: as for `StepController`.
    """
    metadata = {
        "parameters": program.parameters,
        "loss": program.loss,
        "threads": int(os.environ.get("OMP_NUM_THREADS", count_cores())),
    }
    controller = StepController(metadata, requests, replies)
    try:
        program.run(controller.after_step)
    except StopRun:
        peak = (program.peak_bytes or peak_memory)()
        _send(peak - program.data_bytes, replies)


def _send(value, replies):
    print(json.dumps(value), file=replies, flush=True)


def main():
    workload, name, folder = sys.argv[1:]
    # Standard output is for replies only; what libraries print goes to standard error.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contender = WORKLOADS[workload].contenders[name]
    serve(contender.make(Path(folder), contender.precision), sys.stdin, replies)
    replies.close()
    os._exit(0)  # Threads that wait for data would keep the process alive.


if __name__ == "__main__":
    main()
