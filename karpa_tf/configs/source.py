"""Flags that name the model to use: a run, an exported version, or a model on a server."""

import dataclasses

from karpa_tf.configs.run import require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """Where the model is: exactly one of `run`, `saved_model` and `server`."""

    run: str | None = None
    """Run folder."""

    saved_model: str | None = None
    """Folder of an exported model, with or without the version, instead of --run; without, the newest is used."""

    server: str | None = None
    """REST address of TF Serving or apps.serve, such as http://127.0.0.1:8501, instead of --run."""

    model: str | None = None
    """Name of the model on --server; None is its only one."""

    version: int | None = None
    """Version of the model on --server; None is the newest."""

    timeout: float = 60
    """Seconds to wait for an answer of --server."""

    verbose: bool = False
    """Show TensorFlow's log messages."""

    def __post_init__(self):
        require_positive("timeout", self.timeout)

    def require_source(self):
        """Raises `UserError` unless exactly one model is named."""
        if sum(source is not None for source in (self.run, self.saved_model, self.server)) != 1:
            raise UserError("Give one of --run DIR, --saved-model DIR and --server URL: the model to use.")
        if self.server is None and (self.model, self.version) != (None, None):
            raise UserError("--model and --version are of a model on --server; give its URL.")


@dataclasses.dataclass(frozen=True)
class TextSource(ModelSource):
    """Flags of programs that use a model of whole texts."""

    text: tuple[str, ...] = ()
    """Texts."""

    text_pair: tuple[str, ...] = ()
    """Second texts, as many, for a model of pairs of texts."""

    file: str | None = None
    """UTF-8 file with one text per line; - is standard input."""

    pair_file: str | None = None
    """UTF-8 file with one second text per line."""
