"""The serve program: checks its config, starts the server, and serves until a signal comes."""

import logging
import sys
import threading

from karpa_tf.errors import UserError
from karpa_tf.system import signals
from karpa_tf.system.console import warn

EXTRA = ("tensorflow_serving", "grpc", "aiohttp")
"""Packages of the extra [serve]."""

MINIMUM = {
    "file_system_poll_wait_seconds": 0,
    "rest_api_timeout_in_ms": 1,
    "max_body_mb": 1,
    "max_image_megapixels": 1,
    "max_concurrent": 1,
    "max_queue": 0,
    "drain_seconds": 0,
}


def serve(config):
    """Serves until a signal comes."""
    check(config)
    server = start(config)
    try:
        print_addresses(server, config)
        with signals.StopSignals() as stop:
            while not stop.received:
                threading.Event().wait(0.1)
        print(f"{stop.received}: finishing what is running, for {config.drain_seconds} s at most.", file=sys.stderr)
    finally:
        server.stop(config.drain_seconds)


def check(config):
    """Refuses values that are out of range, before TensorFlow is imported."""
    for name, minimum in MINIMUM.items():
        if getattr(config, name) < minimum:
            raise UserError(f"--{name} must be {minimum} or more; received {getattr(config, name)}.")
    for name in ("port", "rest_api_port"):
        if not -1 <= getattr(config, name) <= 65535:
            raise UserError(
                f"--{name} must be from 1 to 65535, 0 for off or -1 for any; received {getattr(config, name)}."
            )
    if config.port == config.rest_api_port > 0:
        raise UserError(f"--port and --rest_api_port are both {config.port}; they must differ.")
    if not (config.port or config.rest_api_port or config.grpc_socket_path):
        raise UserError("Every interface is off; name a --port, a --rest_api_port or a --grpc_socket_path.")


def start(config):
    """Returns the `Server`, started."""
    try:
        from karpa_tf.serving.server import Server
        from karpa_tf.serving.web_guard import is_loopback
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in EXTRA:
            raise
        raise UserError(f"{error.name} is not installed; pip install 'karpa_tf[serve]' brings it.") from error
    if not config.verbose:
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if config.model_config_file and (config.model_base_path or config.model_name):
        warn("--model_base_path and --model_name are ignored beside --model_config_file.")
    if not is_loopback(config.host):
        warn(f"--host {config.host} lets other machines in, and whoever reaches this server may use it.")
    server = Server(config)
    server.start()
    return server


def print_addresses(server, config):
    """Prints what is served and where."""
    names = server.manager.names()
    for name in names:
        found = [status.version for status in server.manager.statuses(name) if status.state == status.AVAILABLE]
        print(f"model {name}: version {found[0]}" if found else f"model {name}: no version yet, a folder <number>")
    if not names:
        print("no model yet; a model is a folder <name>/<number>/ with a SavedModel")
    host = {"0.0.0.0": "localhost", "::": "localhost", "::1": "[::1]"}.get(config.host, config.host)
    if server.grpc_port:
        print(f"gRPC: {host}:{server.grpc_port}")
    if config.grpc_socket_path:
        print(f"gRPC: unix:{config.grpc_socket_path}")
    if server.rest_port:
        print(f"REST: http://{host}:{server.rest_port}/v1/models/NAME")
        print(f"page: http://{host}:{server.rest_port}/")
    sys.stdout.flush()
