"""The serve program: starts the server and serves until a signal comes."""

import logging
import sys
import threading

from karpa_tf.errors import UserError
from karpa_tf.system import signals
from karpa_tf.system.console import warn

EXTRA = ("tensorflow_serving", "grpc", "aiohttp")
"""Packages of the extra [serve]."""


def serve(config):
    """Serves until a signal comes."""
    server = start(config)
    try:
        print_addresses(server, config)
        with signals.StopSignals() as stop:
            while not stop.received:
                threading.Event().wait(0.1)
        print(f"{stop.received}: finishing what is running, for {config.drain_seconds} s at most.", file=sys.stderr)
    finally:
        server.stop(config.drain_seconds)


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
    if not is_loopback(config.host):
        warn(f"--host {config.host} lets other machines in, and whoever reaches this server may use it.")
    server = Server(config)
    server.start()
    return server


def print_addresses(server, config):
    """Prints what is served and where."""
    for name in server.manager.names():
        found = [status.version for status in server.manager.statuses(name) if status.state == status.AVAILABLE]
        print(f"model {name}: version {found[0]}" if found else f"model {name}: no version yet, a folder <number>")
    if not server.manager.names():
        print("no model yet; a model is a folder <name>/<number>/ with a SavedModel")
    host = {"0.0.0.0": "localhost", "::": "localhost", "::1": "[::1]"}.get(config.host, config.host)
    if server.grpc_port:
        print(f"gRPC: {host}:{server.grpc_port}")
    if config.grpc_socket_path:
        print(f"gRPC: unix:{config.grpc_socket_path}")
    if server.rest_port:
        print(f"REST: http://{host}:{server.rest_port}/v1/models/NAME\npage: http://{host}:{server.rest_port}/")
    sys.stdout.flush()
