"""The gRPC services, asked through the official stubs, and the same questions over plain HTTP."""

import base64
import functools
import http.client
import json

import grpc
import numpy as np
import pytest
import tensorflow as tf
from served import example, image_files, request_of, strings, tiny_models
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from karpa_tf.configs.serving import ServingConfig
from karpa_tf.serving.server import Server

IMAGES = image_files(3)
TEXTS = strings([b"the [MASK] of a list.", "ä [MASK] [MASK] 中!".encode()])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="module")
def socket(tmp_path_factory):
    return tmp_path_factory.mktemp("socket") / "models.sock"


@pytest.fixture(scope="module")
def server(models, socket):
    config = ServingConfig(model_base_path=str(models), port=0, rest_api_port=0, grpc_socket_path=str(socket))
    server = Server(config)
    server.start()
    yield server
    server.stop(0)


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def loaded(models):
    return functools.cache(lambda name: tf.saved_model.load(models / name / "1"))


def post(server, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text
    return json.loads(text)


def as_json(array):
    if array.dtype.kind != "O":
        return array.tolist()
    return [{"b64": base64.b64encode(value).decode()} for value in array]


def from_json(value, like):
    def read(value):
        if isinstance(value, list):
            return [read(item) for item in value]
        return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()

    return np.array(read(value), object) if like.dtype.kind == "O" else np.array(value, like.dtype)


RNG = np.random.default_rng(0)
REQUESTS = {
    "an image's bytes": ("images", "serving_default", {"image_bytes": strings(IMAGES)}),
    "pixels": ("images", "images", {"images": RNG.integers(0, 256, (2, 12, 12, 3), np.uint8)}),
    "examples": ("images", "classify", {"inputs": strings([example(x).SerializeToString() for x in IMAGES])}),
    "seeds": ("drawings", "serving_default", {"seed": np.array([0, 7, 2**62])}),
    "noise": ("drawings", "noise", {"noise": RNG.normal(size=(2, 8)).astype(np.float32)}),
    "seeds for PNG files": ("drawings", "image_bytes", {"seed": np.array([3, 4])}),
    "masked texts": ("words", "serving_default", {"text": TEXTS}),
    "token ids": ("words", "token_ids", {"token_ids": RNG.integers(0, 9, (2, 16), np.int32),
                                         "mask_positions": np.array([[1, 2], [3, 4]], np.int32)}),
    "texts to embed": ("words", "embed", {"text": TEXTS}),
    "texts": ("opinions", "serving_default", {"text": TEXTS}),
}  # fmt: skip


@pytest.mark.parametrize("request_name", REQUESTS)
def test_grpc_rest_and_the_loaded_model_return_the_same(server, loaded, stub, request_name):
    model, signature, inputs = REQUESTS[request_name]
    response = stub.Predict(request_of(model, signature, inputs), timeout=30)
    answers = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
    expected = loaded(model).signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})

    path, name = f"/v1/models/{model}:predict", {"signature_name": signature}
    columns = post(server, path, name | {"inputs": {key: as_json(value) for key, value in inputs.items()}})["outputs"]
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*map(as_json, inputs.values()), strict=True)]
    rows = post(server, path, name | {"instances": rows})["predictions"]
    if len(expected) == 1:
        columns, rows = {next(iter(expected)): columns}, [{next(iter(expected)): row} for row in rows]
    assert set(answers) == set(expected) == set(columns)
    for name, array in answers.items():
        np.testing.assert_array_equal(from_json(columns[name], array), array)
        np.testing.assert_array_equal(from_json([row[name] for row in rows], array), array)
        reference = expected[name].numpy()
        if array.dtype == np.float32:
            np.testing.assert_allclose(array, reference, atol=1e-5, rtol=1e-4)
        else:
            np.testing.assert_array_equal(array, reference)


def test_classify_returns_the_same_over_both_interfaces_as_predict(server, stub):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "images", "classify"
    request.input.example_list.examples.extend(map(example, IMAGES))
    rows = stub.Classify(request, timeout=30).result.classifications
    features = [{"image_bytes": value} for value in as_json(strings(IMAGES))]
    body = {"signature_name": "classify", "examples": features}
    assert [[[c.label, np.float32(c.score)] for c in row.classes] for row in rows] == [
        [[label, np.float32(score)] for label, score in row]
        for row in post(server, "/v1/models/images:classify", body)["results"]
    ]
    outputs = stub.Predict(request_of("images", "", {"image_bytes": IMAGES}), timeout=30).outputs
    np.testing.assert_array_equal([[c.score for c in row.classes] for row in rows], tf.make_ndarray(outputs["scores"]))
    assert [c.label.encode() for row in rows for c in row.classes] == outputs["classes"].string_val


def test_an_answer_names_its_model_and_has_the_requested_outputs(stub):
    request = request_of("images", "", {"image_bytes": IMAGES})
    request.output_filter.append("scores")
    response = stub.Predict(request, timeout=30)
    assert list(response.outputs) == ["scores"]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("images", 1, "serving_default")


def test_metadata_is_the_signatures_of_the_saved_model(stub, models):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "words"
    response = stub.GetModelMetadata(request, timeout=30)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    saved = saved_model_pb2.SavedModel.FromString((models / "words" / "1" / "saved_model.pb").read_bytes())
    written = saved.meta_graphs[0].signature_def
    for name in ("serving_default", "token_ids", "embed"):
        assert found.signature_def[name] == written[name]
    assert (response.model_spec.name, response.model_spec.version.value) == ("words", 1)


@pytest.mark.parametrize(
    ("fields", "text"),
    [([], "GetModelMetadataRequest must specify at least one metadata_field"), (["x"], "Metadata field x is not supp")],
)
def test_other_metadata_fields_are_refused(stub, fields, text):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = "words"
    with pytest.raises(grpc.RpcError, match=text):
        stub.GetModelMetadata(request, timeout=30)


def test_the_unix_socket_answers_too(server, socket):
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(request_of("opinions", "", {"text": ["a"]}), timeout=30).model_spec.version.value == 1


def test_a_config_sent_over_grpc_replaces_the_old_one(models):
    server = Server(ServingConfig(model_base_path=str(models / "opinions"), model_name="a", port=0, rest_api_port=None))
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            service = model_service_pb2_grpc.ModelServiceStub(channel)
            request = model_management_pb2.ReloadConfigRequest()
            with pytest.raises(grpc.RpcError, match="Only ModelConfigList is currently supported"):
                service.HandleReloadConfigRequest(request, timeout=30)
            wanted = request.config.model_config_list.config.add()
            wanted.name, wanted.base_path, wanted.model_platform = "b", str(models / "opinions"), "tensorflow"
            assert service.HandleReloadConfigRequest(request, timeout=60).status.error_code == 0
            status = get_model_status_pb2.GetModelStatusRequest()
            status.model_spec.name = "b"
            (version,) = service.GetModelStatus(status, timeout=30).model_version_status
            assert (version.version, version.state) == (1, version.AVAILABLE)
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError, match="Servable not found"):
                stub.Predict(request_of("a", "", {"text": ["x"]}), timeout=30)
            assert stub.Predict(request_of("b", "", {"text": ["x"]}), timeout=30).outputs
            status.Clear()
            with pytest.raises(grpc.RpcError, match="Missing ModelSpec"):
                service.GetModelStatus(status, timeout=30)
    finally:
        server.stop(0)
