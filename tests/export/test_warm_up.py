"""Warm-up requests, compared with messages of the package tensorflow-serving-api."""

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.export import warm_up


def read_logs(file):
    """Returns the `PredictionLog`s of a warm-up file."""
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def make_expected_log(name, signature, request):
    """Returns the `PredictionLog` of a request, made with tensorflow-serving-api."""
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    log = prediction_log_pb2.PredictionLog()
    spec = log.predict_log.request.model_spec
    spec.name, spec.signature_name = name, signature
    for key, value in request.items():
        log.predict_log.request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return log


def test_every_signature_is_warmed_up_with_its_examples(export, tmp_path):
    warm_up.save(tmp_path / warm_up.FILE, "model", export.examples)
    expected = [
        make_expected_log("model", signature, request)
        for signature in export.functions
        for request in export.examples[signature]
    ]
    assert len(expected) >= 2 * len(export.functions)
    assert read_logs(tmp_path / warm_up.FILE) == expected


def test_a_record_is_equal_to_the_byte():
    request = {"b": np.array([b"\x00\xff" * 100], object), "a": np.arange(300, dtype=np.int64)}
    expected = make_expected_log("name", "signature", request).SerializeToString(deterministic=True)
    assert warm_up.make_predict_log("name", "signature", request) == expected


def test_there_are_no_more_records_than_a_server_allows(tmp_path):
    warm_up.save(tmp_path / "file", "model", {"a": [{"x": np.zeros(1)}] * 2000})
    assert sum(1 for _ in tf.data.TFRecordDataset(str(tmp_path / "file"))) == 1000
