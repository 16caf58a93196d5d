"""Requests that an export carries along, replayed before it serves: the first request of a graph is the slow one."""

import contextlib

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from karpa_tf.serving import inference
from karpa_tf.serving.errors import ServingError, from_tensorflow, invalid

FILE = "assets.extra/tf_serving_warmup_requests"
MOST_REQUESTS = 1000

ASK = {
    "predict_log": inference.predict,
    "classify_log": inference.classify,
    "regress_log": inference.regress,
    "multi_inference_log": inference.multi_inference,
}
"""What replays a `PredictionLog` of each kind that TF Serving replays."""


def warm_up(servable):
    """Replays the requests in `assets.extra/tf_serving_warmup_requests`, if there is such a file.

    Returns:
        how many there were.

    Raises:
        ServingError: one of them fails, the file is damaged, or there are more than 1000.
    """
    path = servable.path / FILE
    if not path.is_file():
        return 0
    number = 0
    try:
        for number, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator(), 1):
            if number > MOST_REQUESTS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MOST_REQUESTS}) at {path}")
            _replay(servable, record)
    except ServingError as error:
        raise ServingError(error.code, f"Warm-up request {number} of {path}: {error.message}") from error
    except tf.errors.DataLossError as error:
        found = from_tensorflow(error)
        raise ServingError(
            grpc.StatusCode.DATA_LOSS, f"{found.message}. Please verify your warmup data is in TFRecord format."
        ) from error
    return number


def _replay(servable, record):
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise invalid("Failed to parse warmup record") from None
    kind = log.WhichOneof("log_type")
    if kind is None:
        return
    if kind not in ASK:
        raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    ASK[kind](_Only(servable), getattr(log, kind).request)


class _Only:
    """Stands in for a `Manager`: whatever model and version a request names, it gets this one, as in TF Serving."""

    def __init__(self, servable):
        self._servable = servable

    @contextlib.contextmanager
    def use(self, name, version=None, label=None):
        yield self._servable
