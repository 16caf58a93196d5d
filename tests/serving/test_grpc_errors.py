"""Requests that the gRPC services refuse, and the codes."""

import queue
import threading

import grpc
import pytest
import tensorflow as tf
from served import image_files, request_of, tiny_models
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from karpa_tf.configs.serving import LimitsConfig
from karpa_tf.errors import UserError
from karpa_tf.serving.limits import Limits
from karpa_tf.serving.manager import Manager
from karpa_tf.serving.rpc import start_grpc

IMAGES = image_files(3)
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def channel(tmp_path_factory):
    manager = Manager([("images", tiny_models(tmp_path_factory) / "images")])
    manager.start()
    server, (port,) = start_grpc(manager, ["127.0.0.1:0"], manager.limits)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()
    manager.stop()


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def broken(**changes):
    request = request_of("images", "", {"image_bytes": IMAGES})
    for name, value in changes.items():
        request.ClearField(name)
        request.MergeFrom(predict_pb2.PredictRequest(**{name: value}))
    return request


TEXT = tf.make_tensor_proto(["this is no image"])
REFUSALS = [
    (broken(model_spec=None), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    (broken(model_spec={}), Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    (broken(model_spec={"name": "no"}), Code.NOT_FOUND, "Servable not found for request: Latest(no)"),
    (broken(model_spec={"name": "images", "version": {"value": 9}}), Code.NOT_FOUND,
     "Servable not found for request: Specific(images, 9)"),
    (broken(model_spec={"name": "images", "version_label": "x"}), Code.INVALID_ARGUMENT,
     "Unrecognized servable version label: x"),
    (broken(model_spec={"name": "images", "signature_name": "no"}), Code.FAILED_PRECONDITION,
     'Serving signature key "no" not found.'),
    (broken(inputs={}), Code.INVALID_ARGUMENT,
     "input size does not match signature: 0!=1 len({}) != len({image_bytes}). Sent extra: {}. "
     "Missing but required: {image_bytes}."),
    (broken(inputs={"image_bytes": TEXT, "b": TEXT}), Code.INVALID_ARGUMENT,
     "input size does not match signature: 2!=1 len({b,image_bytes}) != len({image_bytes}). Sent extra: {b}. "
     "Missing but required: {}."),
    (broken(inputs={"b": TEXT}), Code.INVALID_ARGUMENT, "Signature input alias: image_bytes(feed name: "),
    (broken(inputs={"image_bytes": tf.make_tensor_proto([1.0])}), Code.INVALID_ARGUMENT,
     "Expects arg[0] to be string but float is provided"),
    (broken(inputs={"image_bytes": TEXT}), Code.INVALID_ARGUMENT, "Unknown image file format"),
    (broken(output_filter=["no"]), Code.INVALID_ARGUMENT,
     "output tensor alias not found in signature: no Outputs expected to be in the set {classes,scores}."),
    (broken(output_filter=["scores", "scores"]), Code.INVALID_ARGUMENT, "duplicate output tensor alias: scores"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "code", "text"), REFUSALS, ids=[text[:40] for _, _, text in REFUSALS])
def test_an_invalid_request_is_refused_with_tf_servings_code_and_message(stub, request_, code, text):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request_, timeout=30)
    assert caught.value.code() == code
    assert text in caught.value.details()


@pytest.mark.parametrize(
    ("method", "message", "code", "text"),
    [
        ("Predict", b"\xff\xff", Code.INTERNAL, "deserializing"),
        ("Predict", bytes(16_000_001), Code.RESOURCE_EXHAUSTED, "larger than max"),
        ("Dance", b"", Code.UNIMPLEMENTED, ""),
    ],
)
def test_an_unreadable_message_or_an_unknown_method_is_refused(channel, caplog, method, message, code, text):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")(message, timeout=30)
    assert caught.value.code() == code and text in caught.value.details()
    assert "Traceback" not in caplog.text


class BrokenManager:
    """A manager whose requests wait for `go` and then fail with an unexpected error."""

    def __init__(self):
        self.go, self.begun, self.used = threading.Event(), threading.Event(), []

    def use(self, name, *asked):
        self.used.append(name)
        self.begun.set()
        assert self.go.wait(30)
        raise ZeroDivisionError("a secret")


@pytest.fixture
def defective():
    manager, seen = BrokenManager(), []
    limits = Limits(LimitsConfig(max_concurrent=1, max_queue=2))
    server, (port,) = start_grpc(manager, ["127.0.0.1:0"], limits, lambda *request: seen.append(request))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield manager, prediction_service_pb2_grpc.PredictionServiceStub(channel), port, seen
    manager.go.set()
    server.stop(0).wait()


def test_an_unexpected_error_is_internal_and_only_the_log_has_its_message(defective, caplog):
    manager, stub, _, seen = defective
    manager.go.set()
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request_of("m", "", {}), timeout=30)
    assert caught.value.code() == Code.INTERNAL and "secret" not in caught.value.details()
    assert "a secret" in caplog.text
    (request,) = seen
    assert request[:4] == ("m", "Predict", "GRPC", Code.INTERNAL) and 0 < request[4] < 30


def test_a_request_whose_deadline_passed_in_the_queue_is_not_run_and_a_full_queue_refuses_at_once(defective):
    manager, stub, _, _ = defective
    first = stub.Predict.future(request_of("first", "", {}), timeout=60)
    assert manager.begun.wait(30)
    late = stub.Predict.future(request_of("late", "", {}), timeout=0.3)
    assert late.code() == Code.DEADLINE_EXCEEDED
    done, waiting = queue.Queue(), [stub.Predict.future(request_of("more", "", {}), timeout=60) for _ in range(4)]
    for call in waiting:
        call.add_done_callback(done.put)
    assert done.get(timeout=30).code() == Code.RESOURCE_EXHAUSTED
    manager.go.set()
    assert first.code() == Code.INTERNAL
    assert {call.code() for call in waiting} == {Code.INTERNAL, Code.RESOURCE_EXHAUSTED}
    assert set(manager.used) == {"first", "more"}


def test_a_port_in_use_is_a_user_error(defective):
    _, _, port, _ = defective
    with pytest.raises(UserError, match=f"gRPC cannot listen on 127.0.0.1:{port}"):
        start_grpc(BrokenManager(), [f"127.0.0.1:{port}"], Limits())


def test_a_file_is_not_overwritten_by_a_socket(tmp_path):
    (tmp_path / "models.sock").write_text("precious")
    with pytest.raises(UserError, match="there is a file of that name"):
        start_grpc(BrokenManager(), [f"unix:{tmp_path}/models.sock"], Limits())
    assert (tmp_path / "models.sock").read_text() == "precious"
