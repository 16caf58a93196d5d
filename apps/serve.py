"""Serves exported models over TF Serving's REST and gRPC interface, for a laptop and for tests.

$ python -m apps.serve --model-base-path saved_models
"""

import sys
import threading

from karpa_tf import cli, signals
from karpa_tf.configs.errors import UserError
from karpa_tf.configs.serving import ServingConfig


def run(config):
    """Serves until a signal comes."""
    try:
        from karpa_tf.serving.server import Server
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; pip install 'karpa_tf[serve]' brings it.") from error

    server = Server(config)
    server.start()
    print(f"REST interface: http://{config.host}:{server.rest_port}/v1/models/NAME")
    with signals.StopSignals() as stop:
        while not stop.received:
            threading.Event().wait(0.2)
    server.stop(config.drain_seconds)


def main():
    with cli.errors():
        run(cli.parse(ServingConfig(), __doc__, args=sys.argv[1:]))


if __name__ == "__main__":
    main()
