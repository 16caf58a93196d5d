"""Classifies images.

$ python -m apps.classify --run runs/train_classifier/... image.jpg more/images
$ python -m apps.classify --saved-model saved_models/resnet_images/1 image.jpg
"""

import dataclasses
from pathlib import Path

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    images: cli.Positional[tuple[str, ...]] = ()
    """Image files, and folders of images."""

    run: str | None = None
    """Run folder of a trained classifier."""

    saved_model: str | None = None
    """Folder of an exported version, instead of --run."""

    top: int = 3
    """Number of classes to print per image."""

    out: str | None = None
    """CSV file for the results, with one row per image and class."""

    verbose: bool = False
    """Show TensorFlow's log messages."""


def run(config):
    """Prints the most probable classes; returns a list of (path, [(class, probability), ...]) for readable images."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Give one of --run DIR and --saved-model DIR: the classifier to use.")
    if not config.images:
        raise UserError("Give one or more image files, or a folder of them.")
    if config.top < 1:
        raise UserError(f"--top must be at least 1; received {config.top}.")

    from karpa_tf.data.images.folder import SUFFIXES
    from karpa_tf.data.walk import FolderWalk
    from karpa_tf.system.text_files import write_table
    from karpa_tf.tasks import classifier

    files = []
    for name in config.images:
        if not Path(name).exists():
            raise UserError(f"There is no image or folder {name}.")
        files += FolderWalk(SUFFIXES).find_files(name) if Path(name).is_dir() else [Path(name)]
    results = []
    for name, best in classifier.classify_files(config.run, config.saved_model, files, config.top):
        results.append((name, best))
        print(f"{name}  " + "  ".join(f"{label} {p:.1%}" for label, p in best))
    if not results:
        raise UserError("None of the images can be read.")
    if config.out:
        rows = ((n, rank, label, f"{p:.6f}") for n, best in results for rank, (label, p) in enumerate(best, 1))
        write_table(config.out, ["image", "rank", "class", "probability"], rows, "--out")
    return results


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
