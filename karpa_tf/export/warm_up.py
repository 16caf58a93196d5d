"""Requests that TensorFlow Serving runs before it answers the first real one.

They are a TFRecord file of `PredictionLog` messages (tensorflow_serving/apis/prediction_log.proto). Their few fields
are written here, so that an export needs no tensorflow-serving-api.
"""

import tensorflow as tf

FILE = "tf_serving_warmup_requests"

AT_MOST = 1000
"""Records; with more of them a server refuses the version."""


def save(path, name, examples):
    """Writes the requests to a file.

    Args:
        path: of the file.
        name: of the model.
        examples: lists of requests, dicts of arrays, by the signature's name. One that fails keeps a server from
            loading the version.
    """
    requests = [(signature, request) for signature, several in examples.items() for request in several]
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, request in requests[:AT_MOST]:
            file.write(predict_log(name, signature, request))


def predict_log(name, signature, request):
    """Returns a serialized `PredictionLog` of one request to a signature of the model `name`."""
    model_spec = _field(1, name.encode()) + _field(3, signature.encode())
    inputs = b"".join(
        _field(2, _field(1, key.encode()) + _field(2, tf.make_tensor_proto(request[key]).SerializeToString()))
        for key in sorted(request)
    )
    predict_request = _field(1, model_spec) + inputs
    return _field(6, _field(1, predict_request))


def _field(number, content):
    """Returns a field of protobuf's wire type 2: its number, a length, and so many bytes."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number):
    """Returns a number in groups of seven bits, the lowest first, all but the last marked by the eighth bit."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
