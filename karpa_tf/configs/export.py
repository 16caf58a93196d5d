"""Flags of the export program."""

import dataclasses

from karpa_tf.configs.run import require_not_negative, require_plain_name
from karpa_tf.errors import UserError, nearest

FORMATS = ("saved_model", "tflite", "onnx")


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Which weights of which run to export, and where to."""

    run: str | None = None
    """Run folder."""

    best: bool = False
    """Use the weights of the epoch with the lowest validation loss. Without --best, --last and --ema they are those
    that training exports: of the best epoch with early stopping, otherwise the newest, averaged if the run averages."""

    last: bool = False
    """Use the newest checkpoint's weights as they were trained, not their moving average."""

    ema: bool = False
    """Use the newest checkpoint's moving average of the weights."""

    name: str | None = None
    """Name of the exported model; None is that of the run."""

    export_dir: str = "saved_models"
    """The SavedModel is written to <export-dir>/<name>/<version>."""

    formats: str = "saved_model"
    """saved_model, tflite and onnx, separated by commas; a SavedModel is always written, the others into its
    assets.extra."""

    keep_versions: int = 0
    """Number of newest versions of the SavedModel to keep; 0 keeps all."""

    allow_custom_ops: bool = False
    """Export a graph with ops that other TensorFlow programs, such as TensorFlow Serving, may lack."""

    allow_incompatible: bool = False
    """Export even if the classes, vocabulary or signatures differ from those of the newest version of this name."""

    verbose: bool = False
    """Show TensorFlow's log messages."""

    def __post_init__(self):
        require_not_negative("keep_versions", self.keep_versions)
        if self.name is not None:
            require_plain_name(self.name)
        for name in self.formats.split(","):
            if name not in FORMATS:
                raise UserError(f"--formats knows {', '.join(FORMATS)}; received {name!r}{nearest(name, FORMATS)}")
        kinds = [kind for kind in ("best", "last", "ema") if getattr(self, kind)]
        if len(kinds) > 1:
            raise UserError(f"{' and '.join(f'--{kind}' for kind in kinds)} exclude each other; choose one.")

    @property
    def kind(self):
        """Which weights: "best", "last", "ema" or None."""
        return next((kind for kind in ("best", "last", "ema") if getattr(self, kind)), None)
