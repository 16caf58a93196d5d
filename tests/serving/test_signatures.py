"""The outputs of every signature of every task, over REST and gRPC, are those of the loaded model."""

import base64
import functools

import grpc
import numpy as np
import pytest
import tensorflow as tf
from served import example, image_files, request_of, strings
from served_models import ask, b64
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc, prediction_service_pb2_grpc

TEXTS = strings([b"the [MASK] of a list.", "ä [MASK] [MASK] 中!".encode()])
RNG = np.random.default_rng(0)
REQUESTS = {
    "an image's bytes": ("images", "serving_default", {"image_bytes": strings(image_files(3))}),
    "pixels": ("images", "images", {"images": RNG.integers(0, 256, (2, 12, 12, 3), np.uint8)}),
    "seeds": ("drawings", "serving_default", {"seed": np.array([0, -7, 2**62])}),
    "noise": ("drawings", "noise", {"noise": RNG.normal(size=(2, 8)).astype(np.float32)}),
    "seeds for PNG files": ("drawings", "image_bytes", {"seed": np.array([3, 4])}),
    "masked texts": ("words", "serving_default", {"text": TEXTS}),
    "token ids": ("words", "token_ids", {"token_ids": RNG.integers(0, 9, (2, 16), np.int32),
                                         "mask_positions": np.array([[1, 2], [3, 4]], np.int32)}),
    "texts to embed": ("words", "embed", {"text": TEXTS}),
    "texts": ("opinions", "serving_default", {"text": TEXTS}),
}  # fmt: skip


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def loaded(models):
    return functools.cache(lambda name: tf.saved_model.load(models / name / "1"))


def as_json(array):
    return [b64(value) for value in array] if array.dtype == object else array.tolist()


def from_json(value, like):
    def read(value):
        if isinstance(value, list):
            return [read(item) for item in value]
        return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()

    return np.array(read(value), object) if like.dtype == object else np.array(value, like.dtype)


@pytest.mark.parametrize("request_name", REQUESTS)
def test_rest_grpc_and_the_loaded_model_return_the_same(server, loaded, channel, request_name):
    model, signature, inputs = REQUESTS[request_name]
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.Predict(request_of(model, signature, inputs), timeout=30)
    answers = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
    expected = loaded(model).signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})

    path, body = f"/v1/models/{model}:predict", {"signature_name": signature}
    columns = ask(server, path, body | {"inputs": {key: as_json(value) for key, value in inputs.items()}})[1]["outputs"]
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*map(as_json, inputs.values()), strict=True)]
    rows = ask(server, path, body | {"instances": rows})[1]["predictions"]
    if len(expected) == 1:
        columns, rows = {next(iter(expected)): columns}, [{next(iter(expected)): row} for row in rows]
    assert set(answers) == set(expected) == set(columns)
    for name, array in answers.items():
        np.testing.assert_array_equal(from_json(columns[name], array), array)
        np.testing.assert_array_equal(from_json([row[name] for row in rows], array), array)
        reference = expected[name].numpy()
        if array.dtype == np.float32:  # sessions and functions fuse ops differently
            np.testing.assert_allclose(array, reference, atol=1e-5, rtol=1e-4)
        else:
            np.testing.assert_array_equal(array, reference)


def refuse(method, request):
    with pytest.raises(grpc.RpcError) as error:
        method(request, timeout=30)
    return error.value.code().name, error.value.details()


def test_grpc_refuses_what_it_does_not_have_with_a_code(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = request_of("opinions", "", {"text": [b"a"]})
    request.model_spec.version_label = "stable"
    assert refuse(stub.Predict, request)[0] == "INVALID_ARGUMENT"
    request.model_spec.version.value = 9
    assert refuse(stub.Predict, request) == ("NOT_FOUND", "Servable not available: version 9 of model 'opinions'.")
    assert refuse(stub.Predict, request_of("opinions", "none", {}))[0] == "INVALID_ARGUMENT"
    assert "['text']" in refuse(stub.Predict, request_of("opinions", "", {"x": [b"a"]}))[1]
    assert refuse(stub.Predict, request_of("opinions", "", {"text": [1.0]}))[0] == "INVALID_ARGUMENT"
    assert refuse(stub.Predict, request_of("opinions", "", {}))[0] == "INVALID_ARGUMENT"
    assert refuse(channel.unary_unary("/tensorflow.serving.PredictionService/Classify"), b"")[0] == "UNIMPLEMENTED"
    status = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "none"})
    assert refuse(model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus, status)[0] == "NOT_FOUND"


def test_an_input_that_would_end_the_process_is_refused(server):
    """oneDNN's convolution aborts on an input with fewer than four dimensions."""
    code, answer = ask(server, "/v1/models/images:predict", {"signature_name": "images", "inputs": [1, 2]})
    assert (code, answer) == (400, {"error": "Input 'images' must have 4 dimensions; received the shape (2,)."})


def test_every_frame_and_image_of_a_request_counts_as_pixels(server, monkeypatch):
    content = image_files(1)[0]  # 12 x 12
    with server.manager.use("images") as servable:
        monkeypatch.setattr(servable, "_max_pixels", 288)
        assert "classes" in servable.run("", {"image_bytes": strings([content, content])})
        for name, values in (("image_bytes", [content] * 3), ("inputs", [example(content).SerializeToString()] * 3)):
            code, answer = ask(server, "/v1/models/images:predict", {
                "signature_name": "classify" if name == "inputs" else "", "inputs": as_json(strings(values))
            })  # fmt: skip
            assert code == 400 and "432 pixels" in answer["error"]
