"""TF Serving's gRPC services: Predict, GetModelMetadata and GetModelStatus; other methods are UNIMPLEMENTED."""

import logging
from concurrent import futures

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from karpa_tf.errors import UserError
from karpa_tf.serving.errors import ServingError, invalid

log = logging.getLogger(__name__)


def answer_predict(manager, request):
    """Returns the PredictResponse for a PredictRequest."""
    with manager.use(*_model_of(request)) as servable:
        return servable.predict(request)


def answer_metadata(manager, request):
    """Returns the GetModelMetadataResponse, with the signatures of a version, for a GetModelMetadataRequest."""
    if set(request.metadata_field) != {"signature_def"}:
        raise invalid(f"Expected the metadata_field 'signature_def', received {list(request.metadata_field)}.")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with manager.use(*_model_of(request)) as servable:
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures)
        response.model_spec.name, response.model_spec.version.value = servable.name, servable.version
    response.metadata["signature_def"].Pack(signatures)
    return response


def answer_status(manager, request):
    """Returns the GetModelStatusResponse, the newest version first, for a GetModelStatusRequest."""
    name, number = _model_of(request)
    found = manager.statuses(name, number)
    if not found:
        raise ServingError(grpc.StatusCode.NOT_FOUND, f"There is no version {number or ''} of model {name!r}.")
    return get_model_status_pb2.GetModelStatusResponse(model_version_status=found)


SERVICES = {
    "tensorflow.serving.PredictionService": {
        "Predict": (predict_pb2.PredictRequest, answer_predict),
        "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, answer_metadata),
    },
    "tensorflow.serving.ModelService": {
        "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, answer_status),
    },
}
"""Class of the request and function of each method, by service."""


def _model_of(request):
    spec = request.model_spec
    if spec.version_label:
        raise invalid("This server has no version labels; name a version, or none for the newest.")
    return spec.name, spec.version.value if spec.HasField("version") else None


def start_grpc(manager, addresses, config):
    """Starts the services; returns the `grpc.Server` and its ports, one for each address, or raises `UserError`.

    An address is such as "127.0.0.1:8500", with port 0 for any free one, or "unix:/run/models.sock".
    """
    options = {
        "grpc.max_receive_message_length": config.max_body_mb * 10**6,
        "grpc.max_send_message_length": -1,
        # Otherwise a second server could listen on the same port and would get half of the requests.
        "grpc.so_reuseport": 0,
    }
    server = grpc.server(
        futures.ThreadPoolExecutor(config.max_concurrent, thread_name_prefix="grpc"),
        options=list(options.items()),
        maximum_concurrent_rpcs=config.max_concurrent + config.max_queue,
    )
    for service, methods in SERVICES.items():
        handlers = {name: _make_handler(manager, *method) for name, method in methods.items()}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    try:
        ports = [server.add_insecure_port(address) for address in addresses]
    except RuntimeError:
        raise UserError(f"gRPC cannot listen on {', '.join(addresses)}; is another server running there?") from None
    server.start()
    return server, ports


def _make_handler(manager, request_class, function):
    def parse(message):
        # None makes grpc answer INTERNAL, as does an error; but that one it logs with its traceback.
        try:
            return request_class.FromString(message)
        except DecodeError:
            return None

    def answer(request, context):
        try:
            return function(manager, request)
        except ServingError as error:
            code, message = error.code, error.message
        except Exception:
            log.exception("A request failed")
            code, message = grpc.StatusCode.INTERNAL, "Internal error; the server's log says more."
        return context.abort(code, message)

    return grpc.unary_unary_rpc_method_handler(answer, parse, lambda response: response.SerializeToString())
