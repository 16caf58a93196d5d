"""A client of TensorFlow Serving, with its official stubs; the server is started with TensorFlow Serving's flags.

The model is y = 0.5 x + offset, with `x` declared float32 (batch, 1); the requests send vectors, as its clients do.
"""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from served import ServerProcess, request_of
from served_models import ask, publish, save_line, until
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

FLAGS = (
    "--rest_api_timeout_in_ms=5000 --enable_batching=true --batching_parameters_file=batching.txt "
    "--grpc_channel_arguments=grpc.max_connection_age_ms=2000 --max_num_load_retries 0 --load_retry_interval_micros=-1 "
    "--monitoring_config_file=monitoring.txt --file_system_poll_wait_seconds=1 --tensorflow_session_parallelism=0 "
    "--rest_api_num_threads=8 --grpc_max_threads=8 --flush_filesystem_caches=false"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    save_line(folder / "lines" / "123", 2)
    save_line(folder / "next", 3)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    flags = (f"--grpc_socket_path={folder}/models.sock", "--model_name=default", *FLAGS.split())
    with ServerProcess(folder / "lines", folder / "log", *flags) as server:
        yield server


@pytest.fixture(scope="module", params=["port", "socket"])
def channel(server, folder, request):
    address = f"localhost:{server.grpc}" if request.param == "port" else f"unix:{folder}/models.sock"
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.mark.parametrize("outputs", [(), ("y",)])
def test_grpc_predict(channel, outputs):
    request = request_of("default", "", {"x": np.array([2], np.float32)})
    request.output_filter.extend(outputs)
    response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 30)
    assert list(response.outputs) == ["y"]
    assert list(response.outputs["y"].float_val) == [3.0]
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("default", "serving_default", 123)


def test_grpc_status_and_metadata(channel):
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "default"})
    (version,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, 30).model_version_status
    assert (version.version, version.state, version.status.error_code) == (123, version.AVAILABLE, 0)
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "default"}, metadata_field=["signature_def"]
    )
    response = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request, 30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    shape = tf.TensorShape(signatures.signature_def["serving_default"].inputs["x"].tensor_shape)
    assert (response.model_spec.version.value, shape.as_list()) == (123, [None, 1])


def test_rest_rows_and_columns(server):
    path = "/v1/models/default:predict"
    assert ask(server, path, {"instances": [2.0, 3.0, 4.0]}) == (200, {"predictions": [3.0, 3.5, 4.0]})
    assert ask(server, path, {"inputs": [2.0, 3.0, 4.0]}) == (200, {"outputs": [3.0, 3.5, 4.0]})
    assert ask(server, path, {"instances": [{"x": [2]}, {"x": [0.2]}]})[1] == {"predictions": [[3.0], [2.1]]}
    versioned = "/v1/models/default/versions/123:predict"
    assert ask(server, versioned, {"inputs": {"x": [[2]]}}) == (200, {"outputs": [[3.0]]})


def test_rest_status_and_metadata(server):
    version = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/default", "/v1/models/default/versions/123"):
        assert ask(server, path) == (200, {"model_version_status": [version]})
    answer = ask(server, "/v1/models/default/metadata")[1]
    assert answer["model_spec"] == {"name": "default", "signature_name": "", "version": "123"}
    info = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    sizes = [{"size": "-1", "name": ""}, {"size": "1", "name": ""}]
    assert (info["dtype"], info["tensor_shape"]) == ("DT_FLOAT", {"dim": sizes, "unknown_rank": False})


def test_a_new_version_replaces_the_old_one(server, folder):
    publish(folder / "next", folder / "lines", 124)
    path = "/v1/models/default:predict"
    until(lambda: ask(server, path, {"inputs": [2]}) == (200, {"outputs": [4.0]}))
    states = ask(server, "/v1/models/default")[1]["model_version_status"]
    assert [(state["version"], state["state"]) for state in states] == [("124", "AVAILABLE"), ("123", "END")]
    assert ask(server, "/v1/models/default/versions/123:predict", {"inputs": [2]})[0] == 404
