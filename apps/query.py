"""Queries a model: of the development server, of TF Serving, or a SavedModel without a server.

$ python -m apps.query --model digits_cnn image.png            # REST, http://127.0.0.1:8501
$ python -m apps.query --grpc 127.0.0.1:8500 --model bert_tiny --text "Return the [MASK] of the [MASK]."
$ python -m apps.query --saved-model saved_models/dcgan_digits --seed 0 -n 8 --out grid.png
$ python -m apps.query --model digits_cnn image.png --load 30 --clients 8
"""

import dataclasses
from typing import Annotated

from karpa_tf import cli
from karpa_tf.configs.run import require_positive


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    images: cli.Positional[tuple[str, ...]] = ()
    """Image files, and folders of images."""
    model: str | None = None
    """Name of the model on the server; not needed for a development server with a single model."""
    server: str | None = None
    """REST server; http://127.0.0.1:8501 if none of --server, --grpc and --saved-model is given."""
    grpc: str | None = None
    """gRPC server instead, such as 127.0.0.1:8500 or unix:/run/models.sock."""
    saved_model: str | None = None
    """Folder of an exported model to load in this process instead."""
    text: str | None = None
    """Text to classify, or with [MASK] for every word to predict."""
    seed: int | None = None
    """Seed of the first image to generate."""
    n: Annotated[int, cli.Short(aliases=("-n",))] = 1
    """Number of images to generate, one per consecutive seed."""
    signature: str | None = None
    """Name of the signature; None is the one that takes such inputs."""
    version: int | None = None
    """Version of the model; None is the newest."""
    label: str | None = None
    """Label of the version, such as stable."""
    top: int = 3
    """Number of classes or words to print."""
    out: str | None = None
    """File for the answer: .json for any; for generated images .png (a grid), .gif (an animation) or a folder."""
    json: bool = False
    """Print the complete answer as JSON."""
    timeout: float = 60
    """Seconds to wait for an answer."""
    load: float | None = None
    """Repeat the request for this many seconds and measure throughput and latency."""
    clients: int = 8
    """Number of concurrent clients with --load."""

    def __post_init__(self):
        for name in ("n", "top", "timeout", "clients", *(["load"] if self.load is not None else [])):
            require_positive(name, getattr(self, name))


def run(config):
    """Prints the answers; returns what `serving.query.query` returns."""
    from karpa_tf.serving.query import query

    return query(config)


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
