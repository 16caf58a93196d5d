"""The development server: models, REST and gRPC interfaces, the page, metrics."""

import asyncio
import logging
import socket
import sys
import threading
from pathlib import Path

from aiohttp import web

from karpa_tf.errors import UserError
from karpa_tf.serving import model_config, monitoring, page, rest, rpc, versions, web_guard
from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.limits import Limits
from karpa_tf.serving.manager import Manager

IDLE_SECONDS = 75
"""After which a connection without a request is closed."""

SILENT = logging.getLogger(f"{__name__}.http")
SILENT.setLevel(logging.CRITICAL + 1)
"""For aiohttp, which would log a traceback for everything that is no HTTP. Our own defects are printed by web_guard."""


class Server:
    """Serves what a `ServingConfig` names, from threads of its own.

    Attributes:
        manager: the `Manager` of the models.
        rest_port, grpc_port: where it listens once it has started; None for an interface that is off.
    """

    def __init__(self, config, log=None):
        """Nothing is loaded and no port taken before `start`.

        Args:
            config: a `ServingConfig`; a port that is 0 stands for any free one, None for none.
            log: takes a line for each event; None prints to standard error.

        Raises:
            UserError: what is to be served is not there, or a file is wrong.
        """
        self._config = config
        self._log = log or (lambda line: print(line, file=sys.stderr, flush=True))
        path = config.monitoring_config_file and monitoring.path_of(config.monitoring_config_file)
        self._metrics_path = path or None
        self.limits = Limits(config.limits)
        self.manager = Manager(
            **_models(config),
            poll_seconds=config.file_system_poll_wait_seconds,
            limits=self.limits,
            labels_for_unavailable=config.allow_version_labels_for_unavailable_models,
            log=self._log,
            on_load=lambda *load: self._metrics.on_load(*load),
        )
        self._metrics = monitoring.Metrics(self.manager.models)
        self.rest_port = self.grpc_port = None
        self._loop = self._thread = self._rest = self._runner = self._grpc = None
        self._stopped = threading.Event()

    def start(self):
        """Loads the models, then opens the ports.

        Raises:
            UserError: the config cannot be served, or a port or socket cannot be used.
        """
        config = self._config
        try:
            self.manager.start()
        except ServingError as error:
            hint = " (--allow_version_labels_for_unavailable_models lets it)" if "assign label" in error.message else ""
            raise UserError(f"{error.message}{hint}.") from error
        try:
            if config.rest_api_port is not None:
                self._start_rest()
            self._start_grpc()
        except BaseException:
            self.stop(0)
            raise
        if config.model_config_file and config.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._keep_reading, name="config", daemon=True).start()

    def stop(self, drain_seconds=30):
        """Takes no more requests, lets those that run finish within `drain_seconds`, and unloads the models."""
        self._stopped.set()
        ended = self._grpc and self._grpc.stop(drain_seconds)
        if self._loop:
            self._in_loop(self._close(drain_seconds))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._rest.close()
        if ended:
            ended.wait()
        self._loop = self._grpc = None
        self.manager.stop()

    def _start_grpc(self):
        config, addresses = self._config, []
        if config.port is not None:
            addresses.append(f"{f'[{config.host}]' if ':' in config.host else config.host}:{config.port}")
        if config.grpc_socket_path:
            addresses.append(f"unix:{config.grpc_socket_path}")
        if addresses:
            self._grpc, ports = rpc.start_grpc(self.manager, addresses, self.limits, self._metrics.on_request)
            self.grpc_port = ports[0] if config.port is not None else None

    def _start_rest(self):
        listener = _listener(self._config.host, self._config.rest_api_port)
        self.rest_port = listener.getsockname()[1]
        self._rest = rest.Rest(self.manager, self._metrics.on_request)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)
        self._thread.start()
        self._in_loop(self._open(listener))

    def _in_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, listener):
        guards = [web_guard.errors_as_json, web_guard.same_site_only(self._config.host)]
        app = web.Application(client_max_size=self.limits.body_bytes, middlewares=guards)
        app.add_routes([*self._rest.routes(), *page.routes(self.manager)])
        if self._metrics_path:
            app.router.add_get(self._metrics_path, self._metrics_page)
        self._runner = web.AppRunner(
            app, access_log=None, logger=SILENT, keepalive_timeout=IDLE_SECONDS, shutdown_timeout=1
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def _metrics_page(self, request):
        return web.Response(text=self._metrics.text(), content_type="text/plain")

    async def _close(self, seconds):
        for site in list(self._runner.sites):
            await site.stop()
        await self._rest.drain(seconds)
        await self._runner.cleanup()

    def _keep_reading(self):
        """Takes the config file over whenever it has changed, or could not be taken before."""
        config, taken, said = self._config, None, None
        while not self._stopped.wait(config.model_config_file_poll_wait_seconds):
            try:
                found = model_config.read_config_file(config.model_config_file)
                if found != taken:
                    self.manager.reload(found)
                    taken, said = found, None
            except (UserError, ServingError) as error:
                if str(error) != said:
                    self._log(f"The config file was not taken: {error}")
                    said = str(error)


def _models(config):
    """Returns what the `Manager` is to serve, as its arguments."""
    if config.model_config_file:
        return {"models": model_config.read_config_file(config.model_config_file)}
    if not config.model_base_path:
        raise UserError("Name --model_base_path FOLDER, of one model's versions or of models, or --model_config_file.")
    base = Path(config.model_base_path)
    if not base.is_dir():
        raise UserError(f"--model_base_path {base} is no folder; expected that of a model's versions, or of models.")
    if (base / "saved_model.pb").exists():
        raise UserError(f"--model_base_path {base} is a version; name the folder above it, {base.resolve().parent}.")
    if config.model_name is None:
        return {"folder": base}
    found, _ = model_config.models_in(base)
    if found and not versions.list_versions(base):
        raise UserError(
            f"--model_base_path {base} holds the models {', '.join(found)}, named as their folders; leave --model_name "
            "out, or name the folder of one."
        )
    return {"models": [(config.model_name, base)]}


def _listener(host, port):
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"The REST interface cannot listen on {host}, port {port} ({reason}); --rest_api_port names another port."
        ) from None
