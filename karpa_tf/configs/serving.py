"""Config of the development server."""

import dataclasses

from karpa_tf.configs.run import require_not_negative, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """Models, addresses and limits of the server. Flags that TF Serving also has keep its names."""

    model_base_path: str | None = None
    """Folder of one model's versions (<number>/), or of several models, each named after its folder; new models are
    found while the server runs.
    """

    model_name: str | None = None
    """Name of the model if --model_base_path is the folder of one model; None is the folder's name."""

    model_config_file: str | None = None
    """Text file with a ModelServerConfig, of which names and base paths are read, instead of --model_base_path."""

    file_system_poll_wait_seconds: float = 1
    """Seconds between checks for new versions; 0: once, at the start."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 accepts connections from every machine on the network."""

    port: int = 8500
    """Port of the gRPC interface; 0: off; -1: any free one."""

    rest_api_port: int = 8501
    """Port of the REST interface and of the web page; 0: off; -1: any free one."""

    grpc_socket_path: str | None = None
    """UNIX socket of the gRPC interface, in addition to the port."""

    rest_api_timeout_in_ms: int = 30_000
    """Time limit in ms of the model for a request of either interface (after it HTTP status 504, DEADLINE_EXCEEDED), of
    a client to send the body of a REST request (408), and to read an answer.
    """

    max_body_mb: int = 16
    """Maximum size of a REST request's body (HTTP status 413) and of a gRPC message (RESOURCE_EXHAUSTED), in MB (10**6
    bytes).
    """

    max_image_megapixels: int = 50
    """Maximum number of pixels of all images of a request together, in millions, read from their headers; more get HTTP
    status 400, INVALID_ARGUMENT.
    """

    max_concurrent: int = 4
    """Maximum number of concurrent requests per interface."""

    max_queue: int = 60
    """Maximum number of waiting requests; one more gets HTTP status 429, RESOURCE_EXHAUSTED."""

    drain_seconds: int = 30
    """Time limit for running requests after SIGTERM or Ctrl-C."""

    verbose: bool = False
    """Show TensorFlow's own messages."""

    def __post_init__(self):
        for name in ("rest_api_timeout_in_ms", "max_body_mb", "max_image_megapixels", "max_concurrent"):
            require_positive(name, getattr(self, name))
        for name in ("file_system_poll_wait_seconds", "max_queue", "drain_seconds"):
            require_not_negative(name, getattr(self, name))
        if not (self.port or self.rest_api_port or self.grpc_socket_path):
            raise UserError("Every interface is off; name a --port, a --rest_api_port or a --grpc_socket_path.")
