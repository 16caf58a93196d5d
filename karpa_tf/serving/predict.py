"""TF Serving's PredictRequest to a loaded version: answered, and replayed from the warm-up file."""

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from karpa_tf.serving.errors import ServingError, from_tensorflow, invalid
from karpa_tf.serving.tensors import from_proto, to_proto

WARM_UP = "assets.extra/tf_serving_warmup_requests"


def predict(servable, request):
    """Returns the PredictResponse of a `Servable` for a PredictRequest, or raises `ServingError`."""
    name = request.model_spec.signature_name or "serving_default"
    infos = servable.signature(name).inputs
    if not infos.keys() >= request.inputs.keys():
        raise invalid(f"Expected the inputs {sorted(infos)}, received {sorted(request.inputs)}.")
    inputs = {key: from_proto(key, proto, infos[key].dtype) for key, proto in request.inputs.items()}
    outputs = servable.run(name, inputs, tuple(request.output_filter))
    response = predict_pb2.PredictResponse(outputs={key: to_proto(value) for key, value in outputs.items()})
    response.model_spec.name, response.model_spec.signature_name = servable.name, name
    response.model_spec.version.value = servable.version
    return response


def warm_up(servable):
    """Replays the predict requests of a version's warm-up file, if it has one; returns their number.

    Raises `ServingError` if one of them fails or the file is damaged.
    """
    path = servable.path / WARM_UP
    number = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator() if path.is_file() else ():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.HasField("predict_log"):
                predict(servable, log.predict_log.request)
                number += 1
    except ServingError as error:
        raise ServingError(error.code, f"Warm-up request {number + 1} of {path} fails: {error.message}") from error
    except DecodeError:
        raise invalid(f"{path} has a record that is no PredictionLog.") from None
    except tf.errors.OpError as error:
        raise invalid(f"{path} is damaged: {from_tensorflow(error).message}") from error
    return number
