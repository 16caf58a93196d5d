"""TF Serving's gRPC services, PredictionService and ModelService, over a `Manager`."""

import logging
import time
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

from karpa_tf.errors import UserError
from karpa_tf.serving import inference
from karpa_tf.serving.errors import ServingError

SERVICES = {
    prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"]: {
        "Predict": inference.predict,
        "Classify": inference.classify,
        "Regress": inference.regress,
        "MultiInference": inference.multi_inference,
        "GetModelMetadata": inference.get_model_metadata,
    },
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]: {
        "GetModelStatus": inference.get_model_status,
        "HandleReloadConfigRequest": inference.handle_reload_config,
    },
}

LONGEST_MESSAGE = 1024
"""Characters of an error's text that are sent, as in TF Serving: an answer's headers may hold no more than 8 KiB."""

log = logging.getLogger(__name__)


def start_grpc(manager, addresses, limits, on_request=None):
    """Starts the services and returns a `grpc.Server` and the ports that it listens on, one for each address.

    A request whose deadline has passed by the time that a thread is free is not run; grpc sees to that.

    Args:
        manager: a `Manager`.
        addresses: such as "127.0.0.1:8500", with port 0 for any free one, or "unix:/run/models.sock".
        limits: a `Limits`: the size of a message, how many requests are computed at the same time, how many may wait.
        on_request: None, or called as (model, api, entrypoint, code, seconds) after each request, `code` a
            `grpc.StatusCode` and `entrypoint` "GRPC".

    Raises:
        UserError: an address cannot be used.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(limits.config.max_concurrent, thread_name_prefix="grpc"),
        options=[
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            # Otherwise a second server could listen on the same port and would get half of the requests.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=limits.config.max_concurrent + limits.config.max_queue,
    )
    for service, functions in SERVICES.items():
        handlers = {
            method.name: _handler(manager, method, functions[method.name], on_request) for method in service.methods
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service.full_name, handlers)])
    ports = [_listen(server, address) for address in addresses]
    server.start()
    return server, ports


def _listen(server, address):
    socket = Path(address.removeprefix("unix:"))
    if address.startswith("unix:") and socket.exists() and not socket.is_socket():
        raise UserError(f"The socket {socket} cannot be made: there is a file of that name.")
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        raise UserError(f"gRPC cannot listen on {address}; is another server running there?") from None


def _handler(manager, method, function, on_request):
    request_class = GetMessageClass(method.input_type)

    def parse(message):
        # None makes grpc answer INTERNAL, as does an error; but that one it logs with its traceback.
        try:
            return request_class.FromString(message)
        except DecodeError:
            return None

    def answer(request, context):
        start = time.perf_counter()
        code, message = grpc.StatusCode.OK, ""
        response = None
        try:
            response = function(manager, request)
        except ServingError as error:
            code, message = error.code, error.message
        except Exception:
            log.exception("%s failed", method.name)
            code, message = grpc.StatusCode.INTERNAL, "Internal error; the server's log says more."
        if on_request:
            on_request(_model(request), method.name, "GRPC", code, time.perf_counter() - start)
        if code != grpc.StatusCode.OK:
            context.abort(code, _shortened(message))
        return response

    return grpc.unary_unary_rpc_method_handler(answer, parse, lambda response: response.SerializeToString())


def _shortened(message):
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "...TRUNCATED"


def _model(request):
    """Returns the name of the model that a request is about, or "" where it is about none."""
    about = request.tasks[0] if getattr(request, "tasks", None) else request
    return about.model_spec.name if hasattr(about, "model_spec") else ""
