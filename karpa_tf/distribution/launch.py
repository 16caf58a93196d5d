"""Starts the workers of a cluster on this machine, and ends them together.

$ python -m karpa_tf.distribution.launch --workers 2 -- python -m apps.train_gan digits

Each worker is told of the others by TF_CONFIG, on free ports of 127.0.0.1, and its lines are marked. When one fails the
others are ended; the exit code is that of the first that failed, or 75 where they stopped at a signal after saving.
TensorFlow asks nobody who connects to a worker for a password, and listens on every network of the machine.
"""

import argparse
import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time

from karpa_tf.distribution.cluster import STARTED
from karpa_tf.errors import STOPPED, UserError

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def launch(command, workers, restarts=0, grace=30.0, threads=None):
    """Runs a command as the workers of a cluster and returns the exit code.

    Args:
        command: list of words.
        workers: number of processes.
        restarts: how often all are started again after one has failed.
        grace: seconds from SIGTERM to SIGKILL for those that are left when one has failed.
        threads: cores for each worker, or None to let all share all.
    """
    arrived, time_of_start = queue.SimpleQueue(), time.strftime("%Y-%m-%d-%H%M%S")
    with _arriving_in(arrived):
        for attempt in range(restarts + 1):
            started = _Workers(command, workers, threads, time_of_start)
            try:
                code = started.wait(grace, arrived)
            finally:
                started.send(signal.SIGKILL)
            if code in (0, STOPPED) or started.asked_to_end or attempt == restarts:
                return code
            _say(f"starting all {workers} again ({attempt + 1} of {restarts})")


class _Workers:
    def __init__(self, command, count, threads, time_of_start):
        addresses = _free_addresses(count)
        self.ended, self.readers, self.processes, self.asked_to_end = queue.SimpleQueue(), [], [], False
        for index in range(count):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            told = {"TF_CONFIG": json.dumps(task), "PYTHONUNBUFFERED": "1", STARTED: time_of_start}
            self._start(index, command, os.environ | told)
            if threads:
                _keep_to_cores(self.processes[index].pid, index, threads)

    def _start(self, index, command, environment):
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches the workers once: from here.
            )
        except OSError as error:
            raise UserError(f"{command[0]} cannot be started: {error.strerror}.") from error
        self.processes.append(process)
        for source, sink in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            reader = threading.Thread(target=_copy_lines, args=(source, sink, f"[worker {index}] "), daemon=True)
            reader.start()
            self.readers.append(reader)
        threading.Thread(target=lambda: self.ended.put((index, process.wait())), daemon=True).start()

    def wait(self, grace, arrived):
        """Returns the exit code when all have ended; the first that fails ends the others.

        Args:
            grace: seconds from then until they are killed.
            arrived: queue of signals to pass on.
        """
        first, deadline = 0, None
        left = set(range(len(self.processes)))
        while left:
            index, code = self._next_end(deadline, arrived)
            if index is None:
                _say(f"worker {min(left)} did not end in {grace:g} s and is killed")
                self.send(signal.SIGKILL)
                deadline = None
                continue
            left.remove(index)
            if not code or first not in (0, STOPPED):
                continue
            first = 128 - code if code < 0 else code
            if code == STOPPED:  # So will the others, each in its own time.
                continue
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            _say(f"worker {index} {how}" + ("; ending the others" if left else ""))
            self.send(signal.SIGTERM)
            deadline = time.monotonic() + grace
        for reader in self.readers:
            reader.join(5)
        return first

    def _next_end(self, deadline, arrived):
        """Returns which worker has ended and how, or None twice after the deadline."""
        while not deadline or time.monotonic() < deadline:
            while not arrived.empty():
                number = arrived.get()
                self.asked_to_end |= number != signal.SIGUSR1
                self.send(number)
            with contextlib.suppress(queue.Empty):
                return self.ended.get(timeout=0.1)
        return None, None

    def send(self, number):
        """Sends a signal to all that run."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                if process.poll() is None:
                    process.send_signal(number)


@contextlib.contextmanager
def _arriving_in(arrived):
    before = {number: signal.signal(number, lambda number, _: arrived.put(number)) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _copy_lines(source, sink, mark):
    for line in source:
        sink.write(mark + line.decode(errors="replace").rstrip("\n") + "\n")
        sink.flush()


def _free_addresses(count):
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def _keep_to_cores(process, index, count):
    """Gives a process `count` of this process's cores, its own as far as they go; TensorFlow makes as many threads."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(process, {cores[(index * count + place) % len(cores)] for place in range(count)})


def _say(text):
    print(f"[launch] {text}", file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message}; see python -m karpa_tf.distribution.launch --help.")


def _number_from(least, kind=int):
    def parsed(text):
        value = kind(text)
        if not least <= value < 1e9:
            raise argparse.ArgumentTypeError(f"must be a number from {least}; received {text}")
        return value

    parsed.__name__ = "number"
    return parsed


def parse(words):
    """Returns the flags and the command, a list of words, behind `--`."""
    parser = _Parser(
        prog="python -m karpa_tf.distribution.launch",
        usage="python -m karpa_tf.distribution.launch --workers N [flags] -- COMMAND ...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workers", type=_number_from(1), default=2, help="processes that train together (2)")
    parser.add_argument(
        "--restarts", type=_number_from(0), default=0, help="how often all are started again after one failed (0)"
    )
    parser.add_argument(
        "--grace",
        type=_number_from(0, float),
        default=30.0,
        help="seconds that the others have to end, after SIGTERM, when one has failed (30)",
    )
    parser.add_argument(
        "--threads", type=_number_from(1), help="cores for each worker, its own as far as they go; else all share all"
    )
    flags, command = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    known = parser.parse_args(flags)
    if not command:
        raise UserError(
            "the command to run is to follow `--`: python -m karpa_tf.distribution.launch --workers 2 -- python -m ..."
        )
    return known, command


def main():
    try:
        flags, command = parse(sys.argv[1:])
        sys.exit(launch(command, flags.workers, flags.restarts, flags.grace, flags.threads))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
