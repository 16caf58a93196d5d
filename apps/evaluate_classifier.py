"""Evaluates a trained classifier on a data set.

$ python -m apps.evaluate_classifier --run runs/train_classifier/...              the run's own test split
$ python -m apps.evaluate_classifier --run runs/train_classifier/... --data DIR   other images, a folder per class
$ python -m apps.evaluate_classifier --saved-model saved_models/cnn_digits/1 --data digits

Writes report.json, confusion.csv and .png, reliability.png, mistakes.csv and .png.
"""

import dataclasses
from typing import Literal

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    run: str | None = None
    """Run folder of a trained classifier."""

    saved_model: str | None = None
    """Folder of an exported version, instead of --run."""

    data: str | None = None
    """Name of a data set, or a folder with a folder of images per class; None is the data of the run."""

    split: Literal["test", "validation", "train"] = "test"
    """Split of the data; a folder without splits is used as a whole."""

    out: str | None = None
    """Folder for the report; None is eval/ in the run folder for the run's own test split, eval/<split> or eval/<data>
    for anything else, and eval/ in the current folder for --saved-model."""

    data_dir: str | None = None
    """Folder of data sets prepared by TensorFlow Datasets; None is ~/tensorflow_datasets."""

    cache_dir: str | None = None
    """Folder in which decoded images are cached; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    verbose: bool = False
    """Show TensorFlow's log messages."""


def run(config):
    """Writes the report and returns the content of `report.json`."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Give one of --run DIR and --saved-model DIR: the classifier to evaluate.")
    if config.saved_model and not config.data:
        raise UserError("--saved-model needs --data: a data set, or a folder with a folder of images per class.")

    from karpa_tf.evaluation import baselines, classification
    from karpa_tf.system.text_files import make_folder
    from karpa_tf.tasks import classifier
    from karpa_tf.training.run import Run

    compute_probabilities, classes, image_format, trained = classifier.load_scorer(config.run, config.saved_model)
    split = classifier.load_split(config, image_format, trained).with_classes(classes)
    print(split.summary())
    figures = classifier.measure_baselines(trained, split)
    folder = make_folder(config.out or classifier.report_folder(config), "--out")
    report = classification.save_image_report(folder, split, compute_probabilities(split.images), figures)
    for name in (name for name, value in report.items() if isinstance(value, float)):
        print(f"{name.replace('_', ' '):16} {report[name]:.4f}")
    baselines.print_comparison(report)
    print(f"Evaluation       {folder}")
    if config.run:
        classifier.TASK.save_page(Run(config.run))
    return report


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
