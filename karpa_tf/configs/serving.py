"""What the development server is told."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LimitsConfig:
    """What one request, and all of them together, may cost."""

    max_body_mb: int = 16
    """Largest body of a REST request and largest gRPC message, in MB (10**6 bytes); a larger one is answered with HTTP
    code 413, or RESOURCE_EXHAUSTED.
    """

    max_image_megapixels: int = 50
    """Most pixels of all images of a request together, in millions, by what their headers say, before any is decoded;
    more is answered with 400, INVALID_ARGUMENT. No more than these are decoded at a time, which takes up to 31 bytes
    for each; other requests wait.
    """

    max_batch: int = 256
    """Most rows of a request; more is answered with 400, INVALID_ARGUMENT."""

    max_concurrent: int = 4
    """How many requests are worked at, at a time, over each interface."""

    max_queue: int = 60
    """How many more requests may wait; one more is answered with 429, RESOURCE_EXHAUSTED."""

    run_timeout_seconds: int = 30
    """How long a model may compute for a request; then comes 504, DEADLINE_EXCEEDED."""

    client_timeout_seconds: int = 30
    """How long a client may take to send a request's body, then comes HTTP code 408, or to read an answer."""


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """What is served, where, and how often the disk is looked at. The names are TF Serving's where it has them."""

    model_base_path: str | None = None
    """Folder of one model's versions (<number>/), or of several models' folders, each then named as its folder; models
    that appear later are picked up.
    """

    model_name: str | None = None
    """Name of the model where --model_base_path is one model's; the folder's name if left out."""

    model_config_file: str | None = None
    """Text file with a ModelServerConfig (models, version policies, labels), in place of --model_base_path."""

    model_config_file_poll_wait_seconds: int = 0
    """How often to read that file again; 0: never."""

    file_system_poll_wait_seconds: int = 1
    """How often to look for new and removed versions; 0: once, at the start; -1: never, so that nothing is loaded."""

    allow_version_labels_for_unavailable_models: bool = False
    """Let new version labels name versions that are not loaded yet, as those of the first config must."""

    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets every machine on the network in."""

    port: int = 8500
    """Port of the gRPC interface; 0: off; -1: any free one."""

    rest_api_port: int = 8501
    """Port of the REST interface and of the page for the browser; 0: off; -1: any free one."""

    grpc_socket_path: str | None = None
    """UNIX socket for the gRPC interface besides the port."""

    monitoring_config_file: str | None = None
    """Text file with a MonitoringConfig, such as prometheus_config { enable: true }."""

    drain_seconds: int = 30
    """How long running requests may take to finish after SIGTERM or Ctrl-C."""

    verbose: bool = False
    """Show TensorFlow's own messages."""

    limits: LimitsConfig = LimitsConfig()
    """What requests may cost."""
