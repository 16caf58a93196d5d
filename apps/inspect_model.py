"""Describes a SavedModel, without loading its weights, or the model of a run.

$ python -m apps.inspect_model saved_models/cnn_digits          the newest version
$ python -m apps.inspect_model saved_models/cnn_digits/1 --json
$ python -m apps.inspect_model runs/train_classifier/...
"""

import dataclasses
import json
from pathlib import Path

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    path: cli.Positional[tuple[str, ...]] = ()
    """Folder of a version, of a model, whose newest version is used, or of a run; any SavedModel will do."""

    json: bool = False
    """Print everything as JSON."""

    verbose: bool = False
    """Show TensorFlow's log messages."""


def run(config):
    """Prints a description and returns it, a dict: that of `inspection.describe`, or a task's metadata of a run."""
    if len(config.path) != 1:
        received = f"; received {len(config.path)}" if config.path else ""
        raise UserError(f"Give one folder of a SavedModel or of a run{received}.")

    from karpa_tf.export import inspection, summary
    from karpa_tf.tasks import find_task
    from karpa_tf.training.run import Run

    run = Run(config.path[0])
    if run.config_file.exists():
        task = find_task(run)
        description = task.metadata(task.load(run))
        text = (
            f"Run of {task.app}, {task.title}: {description['model']}\nWeights {description['weights']['description']}"
        )
    else:
        description = inspection.describe(inspection.find_version(Path(config.path[0])))
        text = summary.format_description(description)
    print(json.dumps(description, indent=2, ensure_ascii=False) if config.json else text)
    return description


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
