"""Says what is on images.

$ python -m apps.classify --run runs/train_classifier/... image.jpg more/images
$ python -m apps.classify --saved-model saved_models/resnet_images/1 image.jpg
"""

import csv
import dataclasses
import sys
from pathlib import Path

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    run: str | None = None
    """Folder of a run of train_classifier."""

    saved_model: str | None = None
    """Folder of an exported version, in place of --run."""

    images: tuple[str, ...] = ()
    """Images, and folders of images; the flag's name can be left out."""

    top: int = 3
    """How many classes to name."""

    out: str | None = None
    """A CSV file for the results, with a row for each image and class."""

    verbose: bool = False
    """Show TensorFlow's own messages."""


def run(config):
    """Prints the likeliest classes; returns a list of (path, [(class, probability), ...]) for all that can be read."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Name one of --run DIR and --saved-model DIR: the classifier to ask.")
    if not config.images:
        raise UserError("Name one or more images, or a folder of them.")
    if config.top < 1:
        raise UserError(f"--top must be at least 1; received {config.top}.")

    import numpy as np

    from karpa_tf.data.images.folder import find_image_files, try_square
    from karpa_tf.evaluation import classification as evaluation
    from karpa_tf.tasks import classifier as classifier_runs

    files = []
    for name in config.images:
        if not Path(name).exists():
            raise UserError(f"There is no image or folder {name}.")
        files += find_image_files(Path(name)) if Path(name).is_dir() else [Path(name)]
    scores, classes, (side, channels), _ = classifier_runs.load_scorer(config.run, config.saved_model)

    results = []
    for start in range(0, len(files), evaluation.BATCH):
        read, images = [], []
        for file in files[start : start + evaluation.BATCH]:
            image, reason = try_square(file, side, channels)
            if image is None:
                print(f"warning: {reason}", file=sys.stderr)
            else:
                read.append(file)
                images.append(image)
        for file, row in zip(read, scores(np.stack(images)) if read else [], strict=True):
            best = np.argsort(-row, kind="stable")[: config.top]
            results.append((str(file), [(classes[place], float(row[place])) for place in best]))
            print(f"{file}  " + "  ".join(f"{name} {p:.1%}" for name, p in results[-1][1]))
    if not results:
        raise UserError("None of the images can be read.")
    if config.out:
        _write(config.out, results)
    return results


def _write(path, results):
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["image", "rank", "class", "probability"])
            for name, best in results:
                table.writerows((name, rank, label, f"{p:.6f}") for rank, (label, p) in enumerate(best, 1))
    except OSError as error:
        raise UserError(f"--out {path} cannot be written ({error.strerror}).") from error


def main():
    with cli.errors():
        run(cli.parse(Config(), __doc__, words="images"))


if __name__ == "__main__":
    main()
