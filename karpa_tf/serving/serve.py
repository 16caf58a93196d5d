"""The serve program: checks its flags, starts the server, and serves until a signal comes."""

import dataclasses
import logging
import re
import sys
import threading

from karpa_tf.configs.serving import ServingConfig
from karpa_tf.errors import UserError
from karpa_tf.system import signals
from karpa_tf.system.console import warn

EXTRA = ("tensorflow_serving", "grpc", "aiohttp", "prometheus_client")
"""Packages of the extra [serve]."""


def serve(config):
    """Serves until a signal comes."""
    check(config)
    # The flags have 0 for an interface that is off, as TF Serving has; the server, for any free port.
    meant = {0: None, -1: 0}
    ports = {name: meant.get(getattr(config, name), getattr(config, name)) for name in ("port", "rest_api_port")}
    config = dataclasses.replace(config, **ports)
    server = start(config)
    try:
        say(server, config)
        with signals.StopSignals() as stop:
            while not stop.received:
                threading.Event().wait(0.1)
        print(f"{stop.received}: finishing what is running, for {config.drain_seconds} s at most.", file=sys.stderr)
    finally:
        server.stop(config.drain_seconds)


def check(config):
    """Refuses flags that cannot be meant, before TensorFlow is imported."""
    for name, least in (
        *((field.name, 1) for field in dataclasses.fields(config.limits) if field.name != "max_queue"),
        ("max_queue", 0),
        ("drain_seconds", 0),
        ("model_config_file_poll_wait_seconds", 0),
        ("file_system_poll_wait_seconds", -1),
    ):
        value = getattr(config.limits, name, None)
        value = getattr(config, name) if value is None else value
        if value < least:
            raise UserError(f"--{name} must be {least} or more; received {value}.")
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


def say(server, config):
    """Prints what is served and where."""
    for name in server.manager.models():
        versions = sorted(status.version for status in server.manager.status(name) if status.state == 30)
        print(f"model {name}: {', '.join(f'version {version}' for version in versions) or 'no version yet'}")
    host = {"0.0.0.0": "localhost", "::": "localhost", "::1": "[::1]"}.get(config.host, config.host)
    if server.grpc_port:
        print(f"gRPC: {host}:{server.grpc_port}")
    if config.grpc_socket_path:
        print(f"gRPC: unix:{config.grpc_socket_path}")
    if server.rest_port:
        print(f"REST: http://{host}:{server.rest_port}/v1/models/NAME")
        print(f"page: http://{host}:{server.rest_port}/")
    sys.stdout.flush()


def spell_flags(words):
    """Spells --flag=true and --flag=false, as TF Serving takes them, as --flag and --no-flag."""
    switches = [field.name for field in dataclasses.fields(ServingConfig) if isinstance(field.default, bool)]
    plained = []
    for word in words:
        match = re.fullmatch("--?([a-z_-]+)=(true|false|1|0)", word, re.IGNORECASE)
        if match and match[1].replace("-", "_") in switches:
            word = ("--" if match[2].lower() in ("true", "1") else "--no-") + match[1]
        plained.append(word)
    return plained
