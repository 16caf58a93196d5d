"""Exports a finished run again: other weights, another name, other formats.

$ python -m apps.export --run runs/train_classifier/...                   the same as after training: a new version
$ python -m apps.export --run RUN --best --name cnn_best                  the best epoch, under another name
$ python -m apps.export --run RUN --formats saved_model,tflite,onnx       for phones and other runtimes too

Takes runs of every task, and does not need their data.
"""

from pathlib import Path

from karpa_tf import cli
from karpa_tf.configs.export import ExportConfig
from karpa_tf.errors import UserError


def run(config):
    """Writes the next version and returns its folder."""
    if config.run is None:
        raise UserError("Give the run to export: --run DIR.")

    from karpa_tf.export.formats import find_converters
    from karpa_tf.export.summary import summarize_version
    from karpa_tf.system.files import require_writable
    from karpa_tf.tasks import find_task
    from karpa_tf.training.run import Run

    run = Run(config.run)
    task = find_task(run)
    base = Path(config.export_dir, config.name or run.read_config().get("name"))
    require_writable(base, "--export-dir")
    folder, weights = task.export(
        run,
        base,
        config.kind,
        keep=config.keep_versions,
        allow_custom_ops=config.allow_custom_ops,
        allow_incompatible=config.allow_incompatible,
        converters=find_converters(config.formats.split(",")),
    )
    task.save_page(run, exports=[*run.metadata().get("exports", []), str(folder)])
    print(f"SavedModel  {folder}\nWeights     {weights}\n{summarize_version(folder)}")
    return folder


def main():
    with cli.handle_errors():
        run(cli.parse(ExportConfig(), __doc__))


if __name__ == "__main__":
    main()
