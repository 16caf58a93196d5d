"""Starts the workers of a cluster on this machine, and ends them together.

$ python -m karpa_tf.distribution.launch --workers 2 -- python -m apps.train_gan digits

Each worker gets a TF_CONFIG with free ports of 127.0.0.1, and its output lines get a prefix. If one fails, the others
are ended; the exit code is that of the first that failed, or 75 if they stopped after saving, on a signal. TensorFlow
listens on all network interfaces and does not authenticate the connections of workers.
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

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def launch(command, workers, restarts=0, grace=30.0, threads=None):
    """Runs a command as the workers of a cluster and returns the exit code.

    Args:
        command: list of words.
        workers: number of processes.
        restarts: how often all workers are restarted after one has failed.
        grace: seconds from SIGTERM to SIGKILL for the others after one has failed.
        threads: cores per worker, or None to let all workers use all cores.
    """
    signals, start_time = queue.SimpleQueue(), time.strftime("%Y-%m-%d-%H%M%S")
    with _collect_signals(signals):
        for attempt in range(restarts + 1):
            group = _Workers(command, workers, threads, start_time)
            try:
                code = group.wait(grace, signals)
            finally:
                group.send(signal.SIGKILL)
            if code in (0, STOPPED) or group.stop_requested or attempt == restarts:
                return code
            _say(f"restarting all {workers} workers ({attempt + 1} of {restarts})")


class _Workers:
    def __init__(self, command, count, threads, start_time):
        addresses = find_free_addresses(count)
        self.ended, self.readers, self.processes, self.stop_requested = queue.SimpleQueue(), [], [], False
        for index in range(count):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            variables = {"TF_CONFIG": json.dumps(task), "PYTHONUNBUFFERED": "1", STARTED: start_time}
            self._start(index, command, os.environ | variables)
            if threads:
                _pin_to_cores(self.processes[index].pid, index, threads)

    def _start(self, index, command, environment):
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # So that Ctrl-C reaches the workers only through this process.
            )
        except OSError as error:
            raise UserError(f"{command[0]} cannot be started: {error.strerror}.") from error
        self.processes.append(process)
        for source, sink in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            reader = threading.Thread(target=_copy_lines, args=(source, sink, f"[worker {index}] "), daemon=True)
            reader.start()
            self.readers.append(reader)
        threading.Thread(target=lambda: self.ended.put((index, process.wait())), daemon=True).start()

    def wait(self, grace, signals):
        """Waits for all workers and returns the exit code; when one fails, the others are ended.

        Args:
            grace: seconds until they are killed.
            signals: queue of signals to forward.
        """
        first, deadline = 0, None
        running = set(range(len(self.processes)))
        while running:
            index, code = self._wait_for_one(deadline, signals)
            if index is None:
                _say(f"worker {min(running)} did not end in {grace:g} s and is killed")
                self.send(signal.SIGKILL)
                deadline = None
                continue
            running.remove(index)
            if not code or first not in (0, STOPPED):
                continue
            first = 128 - code if code < 0 else code
            if code == STOPPED:  # The others stop by themselves.
                continue
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            _say(f"worker {index} {how}" + ("; ending the others" if running else ""))
            self.send(signal.SIGTERM)
            deadline = time.monotonic() + grace
        for reader in self.readers:
            reader.join(5)
        return first

    def _wait_for_one(self, deadline, signals):
        """Returns the index and exit code of a worker that has ended, or (None, None) after the deadline."""
        while not deadline or time.monotonic() < deadline:
            while not signals.empty():
                number = signals.get()
                self.stop_requested |= number != signal.SIGUSR1
                self.send(number)
            with contextlib.suppress(queue.Empty):
                return self.ended.get(timeout=0.1)
        return None, None

    def send(self, number):
        """Sends a signal to all running workers."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                if process.poll() is None:
                    process.send_signal(number)


@contextlib.contextmanager
def _collect_signals(signals):
    before = {number: signal.signal(number, lambda number, _: signals.put(number)) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _copy_lines(source, sink, prefix):
    for line in source:
        sink.write(prefix + line.decode(errors="replace").rstrip("\n") + "\n")
        sink.flush()


def find_free_addresses(count):
    """Returns `count` different addresses of this machine, 127.0.0.1:port, on which nothing listens."""
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for free_socket in sockets:
            free_socket.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{free_socket.getsockname()[1]}" for free_socket in sockets]


def _pin_to_cores(process, index, count):
    """Pins a process, and so its threads, to `count` of this process's cores, different ones if there are enough."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(process, {cores[(index * count + offset) % len(cores)] for offset in range(count)})


def _say(text):
    print(f"[launch] {text}", file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message}; see python -m karpa_tf.distribution.launch --help.")


def _number_from(minimum, number_type=int):
    def parse(text):
        value = number_type(text)
        if not minimum <= value < 1e9:
            raise argparse.ArgumentTypeError(f"must be a number from {minimum}; received {text}")
        return value

    parse.__name__ = "number"
    return parse


def parse(words):
    """Returns the flags, and the command after `--`, a list of words."""
    parser = _Parser(
        prog="python -m karpa_tf.distribution.launch",
        usage="python -m karpa_tf.distribution.launch --workers N [flags] -- COMMAND ...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workers", type=_number_from(1), default=2, help="number of processes (2)")
    parser.add_argument(
        "--restarts", type=_number_from(0), default=0, help="how often all are restarted after one has failed (0)"
    )
    parser.add_argument(
        "--grace",
        type=_number_from(0, float),
        default=30.0,
        help="seconds from SIGTERM to SIGKILL for the others when one has failed (30)",
    )
    parser.add_argument(
        "--threads", type=_number_from(1), help="cores per worker, different ones if there are enough; default: all"
    )
    flags, command = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    arguments = parser.parse_args(flags)
    if not command:
        raise UserError(
            "the command to run must follow `--`: python -m karpa_tf.distribution.launch --workers 2 -- python -m ..."
        )
    return arguments, command


def main():
    try:
        flags, command = parse(sys.argv[1:])
        sys.exit(launch(command, flags.workers, flags.restarts, flags.grace, flags.threads))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
