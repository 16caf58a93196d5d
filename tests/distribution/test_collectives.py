import json

import pytest
import tensorflow as tf

from karpa_tf.distribution import collectives as workers
from karpa_tf.errors import Stopped

ADDRESSES = ["a:1", "b:2", "c:3"]


def gone(message, index, addresses, monkeypatch):
    """Returns what worker `index` says where TensorFlow fails with a message."""
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    with pytest.raises(Stopped) as caught, workers.name_lost_workers():
        raise tf.errors.UnavailableError(None, None, message)
    return str(caught.value).split(" is gone")[0]


# What TensorFlow 2.21 said when a worker was killed, stopped without a signal, or stood still.
@pytest.mark.parametrize(
    ("message", "index", "addresses", "named"),
    [
        (
            "Collective ops is aborted by: Error reported from /job:worker/task:2: The following tasks are unhealthy "
            "(stopped sending heartbeats):\n/job:worker/replica:0/task:2\nThe tasks have crashed.",
            0,
            ADDRESSES,
            "Worker 2 (c:3)",
        ),
        (
            "Collective ops is aborted by: recvmsg:Connection reset by peer\nAdditional GRPC error information from "
            "remote target /job:worker/replica:0/task:0 while calling /tensorflow.WorkerService/CompleteInstance:",
            1,
            ADDRESSES,
            "Worker 0 (a:1)",
        ),
        (
            "Collective ops is aborted by: Deadline Exceeded\n\nRPC: /tensorflow.CoordinationService/Heartbeat",
            2,
            ADDRESSES,
            "Worker 0 (a:1)",
        ),
        ("Collective ops is aborted by: Socket closed", 1, ADDRESSES[:2], "Worker 0 (a:1)"),
        ("Collective ops is aborted by: Socket closed", 1, ADDRESSES, "A worker"),
    ],
)
def test_the_worker_that_is_gone_is_found_in_what_tensorflow_says(message, index, addresses, named, monkeypatch):
    assert gone(message, index, addresses, monkeypatch) == named


def test_other_errors_and_those_without_a_cluster_are_left_alone(monkeypatch):
    with pytest.raises(tf.errors.UnavailableError), workers.name_lost_workers():
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by: Socket closed")
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"index": 1}}')
    with pytest.raises(tf.errors.ResourceExhaustedError), workers.name_lost_workers():
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory at /job:worker/replica:0/task:0")
