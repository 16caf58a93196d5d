"""Says what is on pictures.

$ python -m apps.classify --run runs/train_classifier/... picture.jpg more/pictures
$ python -m apps.classify --saved-model saved_models/resnet_pictures/1 picture.jpg
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

    pictures: tuple[str, ...] = ()
    """Pictures, and folders of pictures; the flag's name can be left out."""

    top: int = 3
    """How many classes to name."""

    out: str | None = None
    """A CSV file for the results, with a row for each picture and class."""

    verbose: bool = False
    """Show TensorFlow's own messages."""


def run(config):
    """Prints the likeliest classes; returns a list of (path, [(class, probability), ...]) for all that can be read."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Name one of --run DIR and --saved-model DIR: the classifier to ask.")
    if not config.pictures:
        raise UserError("Name one or more pictures, or a folder of them.")
    if config.top < 1:
        raise UserError(f"--top must be at least 1; received {config.top}.")

    import numpy as np

    from karpa_tf.data.images.folder import find_pictures, try_square
    from karpa_tf.evaluation import classification as evaluation
    from karpa_tf.tasks import classifier as classifier_runs

    files = []
    for name in config.pictures:
        if not Path(name).exists():
            raise UserError(f"There is no picture or folder {name}.")
        files += find_pictures(Path(name)) if Path(name).is_dir() else [Path(name)]
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
        raise UserError("None of the pictures can be read.")
    if config.out:
        _write(config.out, results)
    return results


def _write(path, results):
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["picture", "rank", "class", "probability"])
            for name, best in results:
                table.writerows((name, rank, label, f"{p:.6f}") for rank, (label, p) in enumerate(best, 1))
    except OSError as error:
        raise UserError(f"--out {path} cannot be written ({error.strerror}).") from error


def main():
    with cli.errors():
        run(cli.parse(Config(), __doc__, words="pictures"))


if __name__ == "__main__":
    main()
