"""Measures a trained classifier on every image of a set.

$ python -m apps.evaluate_classifier --run runs/train_classifier/...              the run's own test part
$ python -m apps.evaluate_classifier --run runs/train_classifier/... --data DIR   other images, by class
$ python -m apps.evaluate_classifier --saved-model saved_models/cnn_digits/1 --data digits

Writes report.json, confusion.csv and .png, reliability.png, mistakes.csv and .png.
"""

import dataclasses
from pathlib import Path
from typing import Literal

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    run: str | None = None
    """Folder of a run of train_classifier."""

    saved_model: str | None = None
    """Folder of an exported version, in place of --run."""

    data: str | None = None
    """A known data set, or a folder with a folder of images for each class; None is what the run was trained on."""

    part: Literal["test", "validation", "train"] = "test"
    """Which part of the data; a folder of --data without parts is taken whole."""

    out: str | None = None
    """Where the report goes; None is eval/ in the run folder, below it eval/<part> or eval/<data> for anything but the
    run's own test part, and eval/ here for --saved-model."""

    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its prepared sets; None is ~/tensorflow_datasets."""

    cache_dir: str | None = None
    """Where decoded images are kept for the next start; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    verbose: bool = False
    """Show TensorFlow's own messages."""


def run(config):
    """Writes the report and returns what is in `report.json`."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Name one of --run DIR and --saved-model DIR: the classifier to measure.")
    if config.saved_model and not config.data:
        raise UserError("--saved-model needs --data: a known set, or a folder with a folder of images per class.")

    from karpa_tf.configs.image_format import ImageFormat
    from karpa_tf.data.images.splits import load_splits
    from karpa_tf.evaluation import classification as evaluation
    from karpa_tf.system import files
    from karpa_tf.tasks import classifier as classifier_runs
    from karpa_tf.training.run import Run

    # Model
    scores, classes, (side, channels), trained = classifier_runs.load_scorer(config.run, config.saved_model)

    # Data
    image_format = ImageFormat(
        side,
        channels,
        config.data_dir or (trained.data_dir if trained else None),
        config.cache_dir or (trained.cache_dir if trained else None),
        small_images="enlarge" if config.data else trained.small_images,
    )
    if config.data:
        splits = load_splits(config.data, image_format, 0, 0)
        part = splits.as_dict().get(config.part) if splits.has_held_out else splits.train
    else:
        share = trained.validation_fraction if trained.validate_on == "validation" else 0
        part = load_splits(trained.data, image_format, share, trained.test_fraction).parts().get(config.part)
    if part is None:
        raise UserError(f"The data has no {config.part} part; choose another --part.")
    part = part.with_classes(classes)
    print(part.summary())

    # Evaluate
    probabilities = scores(part.images)
    out = Path(config.out) if config.out else _folder(config, Run(config.run).eval if config.run else Path("eval"))
    files.require_writable(out, "--out")
    out.mkdir(parents=True, exist_ok=True)
    report = evaluation.save_image_report(out, part, probabilities)
    for name in (name for name, value in report.items() if isinstance(value, float)):
        print(f"{name.replace('_', ' '):16} {report[name]:.4f}")
    print(f"Report           {out}")
    return report


def _folder(config, base):
    """Returns where a report goes that leaves the run's own, on its test part, alone."""
    if config.data and config.run:
        return base / Path(config.data).name
    return base if config.part == "test" or config.saved_model else base / config.part


def main():
    with cli.errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
