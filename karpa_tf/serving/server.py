"""The development server: models, REST and gRPC interfaces, the page, metrics."""

import asyncio
import socket
import threading

from aiohttp import web

from karpa_tf.configs.errors import UserError
from karpa_tf.serving import rest
from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.limits import Limits
from karpa_tf.serving.manager import Manager


class Server:
    """Serves what a `ServingConfig` names from threads of its own.

    Attributes:
        manager: the `Manager` of the models.
        rest_port, grpc_port: where it listens, None for an interface that is off.
    """

    def __init__(self, config, log=None):
        """Nothing is loaded and no port taken before `start`."""
        self._config = config
        self.limits = Limits(config.limits)
        self.manager = Manager(
            [(config.model_name, config.model_base_path)] if config.model_name else (),
            poll_seconds=config.file_system_poll_wait_seconds,
            folder=None if config.model_name else config.model_base_path,
            limits=self.limits,
            log=log,
        )
        self.rest_port = self.grpc_port = None
        self._loop = self._runner = self._grpc = None

    def start(self):
        """Loads the models, then opens the ports.

        Raises:
            UserError: the config cannot be served, or a port is taken.
        """
        try:
            self.manager.start()
        except ServingError as error:
            raise UserError(error.message) from error
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="rest", daemon=True).start()
        self._in_loop(self._open())

    def stop(self, drain_seconds=30):
        """Takes no more requests, lets those that run finish within `drain_seconds`, and unloads the models."""
        self._in_loop(self._close(drain_seconds))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._rest.close()
        self.manager.stop()

    def _in_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self):
        self._rest = rest.Rest(self.manager)
        app = web.Application(client_max_size=self.limits.body_bytes, middlewares=[rest.errors_as_json])
        app.add_routes(self._rest.routes())
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=75)
        await self._runner.setup()
        listener = socket.create_server((self._config.host, self._config.rest_api_port))
        self.rest_port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()

    async def _close(self, seconds):
        await self._runner.cleanup()
