"""Requests that TensorFlow Serving runs when it loads a version, before it answers the first real one.

They are stored as a TFRecord file of `PredictionLog` messages (tensorflow_serving/apis/prediction_log.proto). The few
fields needed are encoded here, so that an export does not need the package tensorflow-serving-api.
"""

import tensorflow as tf

FILE = "tf_serving_warmup_requests"

MAX_RECORDS = 1000
"""A server refuses a version with more records."""


def save(path, name, examples):
    """Writes the warm-up file.

    Args:
        path: path of the file.
        name: name of the model.
        examples: lists of requests, dicts of arrays, by signature. A server does not load the version if one of them
            fails.
    """
    requests = [(signature, request) for signature, requests in examples.items() for request in requests]
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, request in requests[:MAX_RECORDS]:
            file.write(make_predict_log(name, signature, request))


def make_predict_log(name, signature, request):
    """Returns a serialized `PredictionLog` of one request, a dict of arrays, to a signature of the model `name`."""
    model_spec = _encode_field(1, name.encode()) + _encode_field(3, signature.encode())
    inputs = b"".join(_encode_field(2, _encode_input(key, request[key])) for key in sorted(request))
    predict_request = _encode_field(1, model_spec) + inputs
    return _encode_field(6, _encode_field(1, predict_request))


def _encode_input(key, array):
    return _encode_field(1, key.encode()) + _encode_field(2, tf.make_tensor_proto(array).SerializeToString())


def _encode_field(number, content):
    """Returns a field of protobuf's wire type 2: field number, length and content."""
    return bytes([number << 3 | 2]) + _encode_varint(len(content)) + content


def _encode_varint(number):
    """Returns a number in groups of seven bits, lowest first; all but the last have the eighth bit set."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
