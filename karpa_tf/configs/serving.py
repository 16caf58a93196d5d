"""Config of the development server."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LimitsConfig:
    """Limits of one request and of all concurrent requests."""

    max_body_mb: int = 16
    """Maximum size of a REST request's body and of a gRPC message, in MB (10**6 bytes). A larger one gets HTTP code
    413, or RESOURCE_EXHAUSTED.
    """

    max_image_megapixels: int = 50
    """Maximum number of pixels of all images of a request together, in millions, read from the headers before any image
    is decoded. More get HTTP code 400, INVALID_ARGUMENT. It also limits the pixels that are decoded at a time, up to
    31 bytes each; other requests wait.
    """

    max_batch: int = 256
    """Maximum batch size of a request; a larger one gets HTTP code 400, INVALID_ARGUMENT."""

    max_concurrent: int = 4
    """Maximum number of concurrent requests per interface."""

    max_queue: int = 60
    """Maximum number of waiting requests; one more gets HTTP code 429, RESOURCE_EXHAUSTED."""

    run_timeout_seconds: int = 30
    """Time limit of the model for a request; after that HTTP code 504, DEADLINE_EXCEEDED."""

    client_timeout_seconds: int = 30
    """Time limit of a client to send a request's body, after that HTTP code 408, and to read an answer."""


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """Models, addresses and polling of the server. Flags that TF Serving also has keep its names."""

    model_base_path: str | None = None
    """Folder of one model's versions (<number>/), or of several models, each named after its folder; new models are
    found while the server runs.
    """

    model_name: str | None = None
    """Name of the model if --model_base_path is the folder of one model; None is the folder's name."""

    model_config_file: str | None = None
    """Text file with a ModelServerConfig (models, version policies, labels), instead of --model_base_path."""

    model_config_file_poll_wait_seconds: int = 0
    """Seconds between reads of that file; 0: it is read once."""

    file_system_poll_wait_seconds: int = 1
    """Seconds between checks for new and removed versions; 0: once, at the start; -1: never, and nothing is loaded."""

    allow_version_labels_for_unavailable_models: bool = False
    """Allow new version labels for versions that are not loaded yet, which a config at the start needs."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 accepts connections from every machine on the network."""

    port: int = 8500
    """Port of the gRPC interface; 0: off; -1: any free one."""

    rest_api_port: int = 8501
    """Port of the REST interface and of the web page; 0: off; -1: any free one."""

    grpc_socket_path: str | None = None
    """UNIX socket of the gRPC interface, in addition to the port."""

    monitoring_config_file: str | None = None
    """Text file with a MonitoringConfig, such as prometheus_config { enable: true }."""

    drain_seconds: int = 30
    """Time limit for running requests after SIGTERM or Ctrl-C."""

    verbose: bool = False
    """Show TensorFlow's own messages."""

    limits: LimitsConfig = LimitsConfig()
    """Limits of requests."""
