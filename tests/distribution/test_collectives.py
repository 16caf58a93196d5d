import json

import pytest
import tensorflow as tf

from karpa_tf.distribution import collectives
from karpa_tf.errors import Stopped

ADDRESSES = ["a:1", "b:2", "c:3"]


def find_lost_worker(message, index, addresses, monkeypatch):
    """Returns which worker is lost, according to worker `index`, if TensorFlow fails with a message."""
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    with pytest.raises(Stopped) as error, collectives.name_lost_workers():
        raise tf.errors.UnavailableError(None, None, message)
    return str(error.value).split(" is gone")[0]


# Messages of TensorFlow 2.21 after a worker was killed, stopped without a signal, or stalled.
@pytest.mark.parametrize(
    ("message", "index", "addresses", "expected"),
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
def test_a_lost_worker_is_found_in_the_error_message(message, index, addresses, expected, monkeypatch):
    assert find_lost_worker(message, index, addresses, monkeypatch) == expected


def test_other_errors_and_errors_without_a_cluster_are_not_changed(monkeypatch):
    with pytest.raises(tf.errors.UnavailableError), collectives.name_lost_workers():
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by: Socket closed")
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"index": 1}}')
    with pytest.raises(tf.errors.ResourceExhaustedError), collectives.name_lost_workers():
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory at /job:worker/replica:0/task:0")
