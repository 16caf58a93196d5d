"""Exchange between the workers of a cluster, who must all make the same calls in the same order, or they wait."""

import contextlib
import functools
import json
import re

import numpy as np
import tensorflow as tf

from karpa_tf.distribution import cluster
from karpa_tf.distribution.strategy import make_strategy
from karpa_tf.errors import Stopped

CHUNK_SIZE = 2**22
"""Number of int32 per reduction."""


def all_reduce_max(number):
    """Returns the maximum of the workers' numbers, ints or floats, on all of them; `number` without a cluster."""
    workers = cluster.current()
    if not workers:
        return number
    numbers = np.zeros((len(workers.addresses), 1))
    numbers[workers.index] = number
    return type(number)(_sum_bits(numbers).max())


def barrier():
    """Returns when all workers have called it.

    To be called at the end of a program too: if a worker ends before the others, TensorFlow 2.21 reports after ten
    seconds that it has crashed.
    """
    all_reduce_max(0)


def broadcast_object(value):
    """Returns the chief's value, anything that JSON can hold, on all workers; the values of the others are ignored.

    To read a file on the chief only: `broadcast_object(read() if cluster.is_chief() else None)`.
    """
    if not cluster.current():
        return value
    text = json.dumps(value).encode() if cluster.is_chief() else b""
    size = all_reduce_max(len(text))
    row = np.zeros(size, np.uint8)
    row[: len(text)] = np.frombuffer(text, np.uint8)
    return json.loads(_sum_bits(row).tobytes())


def broadcast_variables(variables):
    """Sets Keras variables, of any dtype, on every worker to their values on the chief, copy by copy.

    A variable with a value per replica (a metric's, or a batch statistic) is set to that of the replica with the same
    index on the chief. Metrics' variables cannot be assigned on the chief only: TensorFlow 2.21 reads, and so sums over
    the workers, what it has just assigned.
    """
    if not cluster.current():
        return
    strategy = make_strategy("multiworker")
    copies = [copy for variable in variables for copy in strategy.experimental_local_results(variable.value)]
    # Only the copies of this worker are read: reading the variable itself may be a reduction.
    values = [
        copy.numpy() if cluster.is_chief() else np.zeros(copy.shape, copy.dtype.as_numpy_dtype) for copy in copies
    ]
    if not values:
        return
    summed = _sum_bits(np.frombuffer(b"".join(value.tobytes() for value in values), np.uint8)).tobytes()
    start = 0
    for copy, value in zip(copies, values, strict=True):
        copy.assign(np.frombuffer(summed, value.dtype, value.size, start).reshape(value.shape))
        start += value.nbytes


@contextlib.contextmanager
def name_lost_workers():
    """Turns TensorFlow's errors about a worker that has ended into a `Stopped` that names it.

    TensorFlow 2.21 notices a broken connection at once, and other failures after ten seconds without a heartbeat.
    """
    try:
        yield
    except tf.errors.OpError as error:
        workers = cluster.current()
        if not workers or not re.search(r"Collective ops is aborted|CoordinationService|WorkerService", str(error)):
            raise
        raise Stopped(
            f"{_find_lost_worker(str(error), workers)} is gone, and the others cannot continue alone; "
            "run the same command again to resume from the last checkpoint."
        ) from error


def _find_lost_worker(message, workers):
    """Returns which worker an error message is about, as text."""
    indices = [int(index) for index in re.findall(r"/job:worker/(?:replica:0/)?task:(\d+)", message)]
    others = [index for index in indices if index != workers.index and index < len(workers.addresses)]
    # Worker 0 receives the heartbeats.
    if not others and workers.index and "CoordinationService" in message:
        others = [0]
    if not others and len(workers.addresses) == 2:
        others = [1 - workers.index]
    return f"Worker {others[0]} ({workers.addresses[others[0]]})" if others else "A worker"


def _sum_bits(array):
    """Returns the sum over the workers of an array's bytes as integers.

    Exact for every dtype if at each position all workers but one have zeros.
    """
    total = _make_sum(make_strategy("multiworker"))
    data = array.tobytes()
    data = np.frombuffer(data + bytes(-len(data) % 4), np.int32)
    with name_lost_workers():
        chunks = [total(data[start : start + CHUNK_SIZE]).numpy() for start in range(0, len(data), CHUNK_SIZE)]
    return np.frombuffer(b"".join(chunk.tobytes() for chunk in chunks), array.dtype, array.size).reshape(array.shape)


@functools.cache
def _make_sum(strategy):
    # Compiled, a reduction takes between a fifth and a half of the time that it takes in eager mode.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def total(values):
        return strategy.reduce("SUM", values, axis=None)

    return total
