"""Exports a run once more: other weights, another name, other formats.

$ python -m apps.export --run runs/train_classifier/...                   what training exports: the next version
$ python -m apps.export --run RUN --best --name cnn_best                  the best epoch, under a name of its own
$ python -m apps.export --run RUN --formats saved_model,tflite,onnx       for phones and for other runtimes too

Takes runs of train_classifier, train_gan, train_mlm and finetune_text; it does not need their data.
"""

import dataclasses
import sys
from pathlib import Path

from karpa_tf import cli
from karpa_tf.configs.run import require_not_negative, require_plain_name
from karpa_tf.errors import UserError, nearest

FORMATS = ("saved_model", "tflite", "onnx")


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    run: str | None = None
    """Folder of a run."""

    best: bool = False
    """Take the weights of the epoch with the lowest validation loss. Without one of --best, --last and --ema they are
    those that training exports: of the best epoch where the run stops early, else the newest, averaged if it averages.
    """

    last: bool = False
    """Take the newest checkpoint's weights as they were trained, not their moving average."""

    ema: bool = False
    """Take the newest checkpoint's moving average of the weights."""

    name: str | None = None
    """Name of the exported model; None is that of the run."""

    export_dir: str = "saved_models"
    """The SavedModel is written to <export-dir>/<name>/<version>."""

    formats: str = "saved_model"
    """saved_model, tflite and onnx, with commas between them. The SavedModel is always written; the others lie in its
    assets.extra."""

    keep_versions: int = 0
    """Newest versions of the SavedModel to keep; 0 keeps all."""

    allow_custom_ops: bool = False
    """Export a graph with ops that other TensorFlow programs, TensorFlow Serving among them, may lack."""

    verbose: bool = False
    """Show TensorFlow's own messages."""

    def __post_init__(self):
        require_not_negative("keep_versions", self.keep_versions)
        if self.name is not None:
            require_plain_name(self.name)
        for format in self.formats.split(","):
            if format not in FORMATS:
                raise UserError(f"--formats knows {', '.join(FORMATS)}; received {format!r}{nearest(format, FORMATS)}")


def run(config):
    """Writes the next version and returns its folder."""
    kinds = [kind for kind in ("best", "last", "ema") if getattr(config, kind)]
    if config.run is None:
        raise UserError("Name the run to export: --run DIR.")
    if len(kinds) > 1:
        raise UserError(f"{' and '.join(f'--{kind}' for kind in kinds)} exclude each other; choose one.")

    from karpa_tf.export.meta_graph import EXTRA, read_meta_graph, signatures_of
    from karpa_tf.system import files
    from karpa_tf.tasks import classifier as classifier_runs
    from karpa_tf.tasks import gan as gan_runs
    from karpa_tf.tasks import masked_lm as masked_lm_runs
    from karpa_tf.tasks import run_export as run_exports
    from karpa_tf.tasks import text_classifier as text_classifier_runs
    from karpa_tf.training.run import Run

    exports = {
        "train_classifier": classifier_runs.make_export,
        "train_gan": gan_runs.make_export,
        "train_mlm": masked_lm_runs.make_export,
        "finetune_text": text_classifier_runs.make_export,
    }
    run = Run(config.run)
    name = config.name or run.read_config().get("name")
    app = run.metadata().get("app")
    if app not in exports:
        raise UserError(
            f"--run {run.path} holds a run of {app or 'nothing known'}; expected one of {', '.join(exports)}."
        )
    base = Path(config.export_dir, name)
    files.require_writable(base, "--export-dir")
    converters = _converters(config.formats.split(","))
    if app != "train_gan" and not run.examples.exists():
        print(
            f"warning: {run.path} keeps no examples of its data; made-up ones check the version and warm servers up.",
            file=sys.stderr,
        )

    folder, weights = run_exports.write(
        run,
        exports[app],
        base,
        kinds[0] if kinds else None,
        keep=config.keep_versions,
        allow_custom_ops=config.allow_custom_ops,
        converters=[converter.write for converter in converters],
    )
    print(f"SavedModel  {folder}\nWeights     {weights}")
    for place, (signature, tensors) in enumerate(signatures_of(read_meta_graph(folder)).items()):
        arrow = f"{', '.join(tensors['inputs'])} -> {', '.join(tensors['outputs'])}"
        print(f"{'Signatures' if not place else '':10}  {signature}: {arrow}")
    for place, file in enumerate(sorted(folder.glob(f"{EXTRA}/*.tflite")) + sorted(folder.glob(f"{EXTRA}/*.onnx"))):
        print(f"{'Formats' if not place else '':10}  {file.name}, {file.stat().st_size:,} bytes")
    return folder


def _converters(formats):
    """Returns the modules that write the formats besides the SavedModel; each says now if it lacks a package."""
    found = []
    if "tflite" in formats:
        from karpa_tf.export import tflite

        found.append(tflite)
    if "onnx" in formats:
        from karpa_tf.export import onnx

        found.append(onnx)
    for converter in found:
        converter.require_converter()
    return found


def main():
    with cli.errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
