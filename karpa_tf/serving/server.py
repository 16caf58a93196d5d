"""The development server: models, REST and gRPC interfaces, and the page."""

import asyncio
import logging
import socket
import sys
import threading
from pathlib import Path

from aiohttp import web
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from karpa_tf.errors import UserError, first_line
from karpa_tf.serving import page, rest, rpc, web_guard
from karpa_tf.serving.manager import Manager, find_models
from karpa_tf.serving.servable import Servable

SILENT = logging.getLogger(f"{__name__}.http")
SILENT.setLevel(logging.CRITICAL + 1)
"""For aiohttp, which would log a traceback for everything that is no HTTP. Our own defects are printed by web_guard."""


class Server:
    """Serves what a `ServingConfig` names, from threads of its own; `log` is a function of a line.

    Nothing is loaded and no port taken before `start`. Raises `UserError` if what is to be served is not there.

    Attributes:
        manager: the `Manager` of the models.
        rest_port, grpc_port: where it listens once it has started; None for an interface that is off.
    """

    def __init__(self, config, log=None):
        self._config, log = config, log or (lambda line: print(line, file=sys.stderr, flush=True))

        def load(name, folder):
            return Servable(name, folder, config.rest_api_timeout_in_ms, config.max_image_megapixels * 10**6)

        self.manager = Manager(_make_finder(config, log), load, config.file_system_poll_wait_seconds, log)
        self.rest_port = self.grpc_port = None
        self._loop = self._thread = self._rest = self._runner = self._grpc = None

    def start(self):
        """Loads the models, then opens the ports; raises `UserError` if a port or socket cannot be used."""
        self.manager.start()
        try:
            if self._config.rest_api_port:
                self._start_rest()
            self._start_grpc()
        except BaseException:
            self.stop(0)
            raise

    def stop(self, drain_seconds=30):
        """Takes no more requests, lets those that run finish within `drain_seconds`, and unloads the models."""
        ended = self._grpc and self._grpc.stop(drain_seconds)
        if self._loop:
            self._in_loop(self._close(drain_seconds))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._rest.workers.shutdown(wait=False, cancel_futures=True)
            self._loop = None
        if ended:
            ended.wait()
        self.manager.stop()

    def _start_grpc(self):
        config = self._config
        host = f"[{config.host}]" if ":" in config.host else config.host
        addresses = [f"{host}:{max(config.port, 0)}"] if config.port else []
        addresses += [f"unix:{config.grpc_socket_path}"] if config.grpc_socket_path else []
        if addresses:
            self._grpc, ports = rpc.start_grpc(self.manager, addresses, config)
            self.grpc_port = ports[0] if config.port else None

    def _start_rest(self):
        listener = _listen(self._config.host, max(self._config.rest_api_port, 0))
        self.rest_port = listener.getsockname()[1]
        self._rest = rest.Rest(self.manager, self._config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)
        self._thread.start()
        self._in_loop(self._open(listener))

    def _in_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, listener):
        guards = [web_guard.errors_as_json, web_guard.same_site_only(self._config.host)]
        app = web.Application(client_max_size=self._config.max_body_mb * 10**6, middlewares=guards)
        app.add_routes([web.route("*", "/v1/{rest:.*}", self._rest.respond), *page.routes(self.manager)])
        options = {"access_log": None, "logger": SILENT, "keepalive_timeout": 75, "shutdown_timeout": 1}
        # The page takes no bodies, and the REST interface decompresses its own.
        self._runner = web.AppRunner(app, auto_decompress=False, **options)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def _close(self, seconds):
        for site in list(self._runner.sites):
            await site.stop()
        await self._rest.drain(seconds)
        await self._runner.cleanup()


def _make_finder(config, log):
    """Returns a function that returns the folders of the models by name."""
    if config.model_config_file:
        models = _read_config_file(config.model_config_file, log)
        return lambda: models
    if not config.model_base_path:
        raise UserError("Name --model_base_path FOLDER, of one model's versions or of models, or --model_config_file.")
    base = Path(config.model_base_path)
    if not base.is_dir() or (base / "saved_model.pb").exists():
        what = "a version" if base.is_dir() else "no folder"
        raise UserError(f"--model_base_path {base} is {what}; expected the folder of a model's versions, or of models.")
    if config.model_name is None:
        return lambda: find_models(base)
    return lambda: {config.model_name: base}


def _read_config_file(path, log):
    """Returns the folders by name of a text file with a ModelServerConfig; only names and base paths are used."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        models = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    except (OSError, text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(
            f"--model_config_file {path} cannot be read as a ModelServerConfig: {first_line(error)}"
        ) from None
    if not models or not all(model.name and model.base_path for model in models):
        raise UserError(f"--model_config_file {path} must list models, each with a name and a base_path.")
    if any(model.HasField("model_version_policy") or model.version_labels for model in models):
        log(f"{path}: version policies and labels have no effect here; the newest version of each model is served.")
    return {model.name: Path(model.base_path) for model in models}


def _listen(host, port):
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise UserError(f"The REST interface cannot listen on {host}, port {port}: {error}.") from None
