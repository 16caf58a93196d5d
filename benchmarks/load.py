"""Throughput and latency of a model: the same request repeated by several concurrent clients.

Each client of a server is a process of its own with one connection, for Python's threads would wait for each other and
not for the server. It imports neither TensorFlow nor NumPy.
"""

import collections
import http.client
import math
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from typing import NamedTuple

from karpa_tf.errors import UserError

WARM_UP_SECONDS = 1.0
"""For how long each client asks before anything is measured."""


class Load(NamedTuple):
    """What was measured: seconds of each answered request in ascending order, number of errors by text, length in s."""

    latencies: list[float]
    errors: dict[str, int]
    seconds: float

    @property
    def per_second(self):
        """Answered requests per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, fraction):
        """Returns the latency in s of the `fraction` quantile of the answers (nearest rank); nan if there are none."""
        rank = max(math.ceil(fraction * len(self.latencies)), 1)
        return self.latencies[rank - 1] if self.latencies else math.nan


def measure_server(kind, address, path, body, clients, seconds, timeout=60):
    """Asks a server and returns the `Load`; the time that clients need to start and to warm up does not count.

    Args:
        kind: "rest" or "grpc".
        address: "http://host:port", or what gRPC takes.
        path: of the URL, or the full name of the method.
        body: bytes of the request.
        clients: number of processes.
        seconds: for how long.
        timeout: seconds that one answer may take.

    Raises:
        UserError: a client cannot be started, or died.
    """
    code = "from benchmarks.load import client_process; client_process()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        for _ in range(clients)
    ]
    try:
        task = pickle.dumps((kind, address, path, body, seconds, timeout))
        for process in processes:
            process.stdin.write(len(task).to_bytes(8, "big") + task)
            process.stdin.flush()
        if any(process.stdout.read(1) != b"r" for process in processes):
            raise EOFError
        for process in processes:
            process.stdin.write(b"s")
            process.stdin.flush()
        return _together([pickle.load(process.stdout) for process in processes])
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):
        raise UserError(f"A client died: {_last_words(processes)}") from None
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def measure_function(function, clients, seconds):
    """Calls a function of no arguments from `clients` threads and returns the `Load`."""
    ready, results = threading.Barrier(clients), []

    def ask():
        function()

    def client():
        _repeat(ask, WARM_UP_SECONDS)
        ready.wait()
        results.append(_repeat(ask, seconds))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _together(results)


def client_process():
    """One client: reads what to ask from standard input, warms up, waits for a sign, writes what it measured."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    kind, address, path, body, seconds, timeout = pickle.loads(source.read(int.from_bytes(source.read(8), "big")))
    function = {"rest": _rest, "grpc": _grpc}[kind](address, path, body, timeout)
    _repeat(function, WARM_UP_SECONDS)
    sink.write(b"r")
    sink.flush()
    if source.read(1) == b"s":
        pickle.dump(_repeat(function, seconds), sink)
        sink.flush()


def _repeat(function, seconds):
    """Calls a function, which returns None or what went wrong, for some time; returns (times, errors, seconds)."""
    times, errors = [], collections.Counter()
    begun = now = time.perf_counter()
    while now - begun < seconds:
        try:
            wrong = function()
        except UserError as error:
            wrong = str(error)
        later = time.perf_counter()
        if wrong:
            errors[wrong] += 1
        else:
            times.append(later - now)
        now = later
    return times, dict(errors), now - begun


def _rest(address, path, body, timeout):
    secure, host = address.startswith("https://"), address.split("//", 1)[1]
    connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(host, timeout=timeout)

    def ask():
        try:
            if connection.sock is None:
                connection.connect()
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__
        return None if answer.status == 200 else f"HTTP {answer.status}: {text[:100].decode(errors='replace')}"

    return ask


def _grpc(address, path, body, timeout):
    import grpc

    method = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]).unary_unary(path)

    def ask():
        try:
            method(body, timeout=timeout)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()[:100]}"
        return None

    return ask


def _together(results):
    errors = collections.Counter()
    for _, wrong, _ in results:
        errors.update(wrong)
    times = sorted(time for times, _, _ in results for time in times)
    return Load(times, dict(errors), max(seconds for _, _, seconds in results))


def _last_words(processes):
    for process in processes:
        process.kill()
        lines = process.stderr.read().decode(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "it said nothing."
