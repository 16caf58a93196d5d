"""What the workers of a cluster tell each other. Every worker makes the same calls in the same order, or all wait."""

import contextlib
import functools
import json
import re

import numpy as np
import tensorflow as tf

from karpa_tf.distribution import cluster, strategy
from karpa_tf.errors import Stopped

PIECE = 2**22
"""int32 that travel at once."""


def all_reduce_max(number):
    """Returns the largest of the workers' numbers, an int or float, to all of them; `number` without a cluster."""
    workers = cluster.current()
    if not workers:
        return number
    numbers = np.zeros((len(workers.addresses), 1))
    numbers[workers.index] = number
    return type(number)(_summed_bits(numbers).max())


def barrier():
    """Returns when all workers have called it.

    To be called at the end of a program too: of a worker that ends before the others TensorFlow 2.21 says after ten
    seconds that it has crashed.
    """
    all_reduce_max(0)


def broadcast_object(facts):
    """Returns what the chief gave, anything that JSON can hold, to all workers; what the others give is not looked at.

    So the chief alone reads what is on disk: `broadcast_object(read() if cluster.is_chief() else None)`.
    """
    if not cluster.current():
        return facts
    text = json.dumps(facts).encode() if cluster.is_chief() else b""
    size = all_reduce_max(len(text))
    row = np.zeros(size, np.uint8)
    row[: len(text)] = np.frombuffer(text, np.uint8)
    return json.loads(_summed_bits(row).tobytes())


def broadcast_variables(variables):
    """Sets Keras variables, of any dtype, on every worker to what they are on the chief, copy by copy.

    A variable that every replica holds for itself (a metric's, a statistic of a batch) is set to that of the replica of
    the same place in the chief. Metrics' variables cannot be assigned to on the chief alone: TensorFlow 2.21 reads,
    and so sums over the workers, what it has just assigned.
    """
    if not cluster.current():
        return
    devices = strategy.make_strategy("multiworker")
    copies = [copy for variable in variables for copy in devices.experimental_local_results(variable.value)]
    # Nothing but a copy of our own is read: a read of the whole may be a reduction.
    values = [
        copy.numpy() if cluster.is_chief() else np.zeros(copy.shape, copy.dtype.as_numpy_dtype) for copy in copies
    ]
    if not values:
        return
    summed = _summed_bits(np.frombuffer(b"".join(value.tobytes() for value in values), np.uint8)).tobytes()
    start = 0
    for copy, value in zip(copies, values, strict=True):
        copy.assign(np.frombuffer(summed, value.dtype, value.size, start).reshape(value.shape))
        start += value.nbytes


@contextlib.contextmanager
def name_lost_workers():
    """Turns TensorFlow's errors about a worker that has ended into a `Stopped` that names it.

    TensorFlow 2.21 notices at once where a connection breaks, and else after ten seconds without a sign of life.
    """
    try:
        yield
    except tf.errors.OpError as error:
        workers = cluster.current()
        if not workers or not re.search(r"Collective ops is aborted|CoordinationService|WorkerService", str(error)):
            raise
        raise Stopped(
            f"{_lost(str(error), workers)} is gone, and the others cannot go on alone; "
            "start the same command again to go on from the last checkpoint."
        ) from error


def _lost(message, workers):
    """Returns which worker an error is about, in words."""
    named = [int(index) for index in re.findall(r"/job:worker/(?:replica:0/)?task:(\d+)", message)]
    others = [index for index in named if index != workers.index and index < len(workers.addresses)]
    # Worker 0 is who takes the signs of life.
    if not others and workers.index and "CoordinationService" in message:
        others = [0]
    if not others and len(workers.addresses) == 2:
        others = [1 - workers.index]
    return f"Worker {others[0]} ({workers.addresses[others[0]]})" if others else "A worker"


def _summed_bits(array):
    """Returns the sum over the workers of what an array's bytes are as integers.

    Exact for every dtype where all workers but one have zeros in a place.
    """
    total = _sum_over_workers(strategy.make_strategy("multiworker"))
    data = array.tobytes()
    data = np.frombuffer(data + bytes(-len(data) % 4), np.int32)
    with name_lost_workers():
        pieces = [total(data[start : start + PIECE]).numpy() for start in range(0, len(data), PIECE)]
    return np.frombuffer(b"".join(piece.tobytes() for piece in pieces), array.dtype, array.size).reshape(array.shape)


@functools.cache
def _sum_over_workers(devices):
    # Compiled, a reduction takes between a fifth and a half of the time that it takes in eager mode.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def total(values):
        return devices.reduce("SUM", values, axis=None)

    return total
