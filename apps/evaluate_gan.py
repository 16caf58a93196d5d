"""Measures how close generated images are to real ones: Frechet and kernel distance, precision, recall, coverage.

$ python -m apps.evaluate_gan --run runs/train_gan/...                                 against the run's own data
$ python -m apps.evaluate_gan --run RUN --features runs/train_classifier/...           by what a classifier sees
$ python -m apps.evaluate_gan --real ~/images --fake ~/generated --image-size 64       any two folders

Writes report.json and neighbors.png: generated images in the first column, their nearest real images beside them.
"""

import dataclasses
from typing import Annotated, Literal

from karpa_tf import cli
from karpa_tf.configs.run import require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    run: str | None = None
    """Run folder of a GAN, whose images are compared with its data."""

    real: str | None = None
    """Folder or name of a data set of real images, instead of the data of --run."""

    fake: str | None = None
    """Folder of generated images, instead of --run."""

    features: str = "pixels"
    """What is compared: pixels; the run folder of a classifier, the better the more it knows of such images; or
    inception, with --weights. Only figures with the same features and number of images can be compared."""

    weights: str | None = None
    """File of the weights of InceptionV3 of keras.applications without its head."""

    n: Annotated[int, cli.Short(aliases=("-n",))] = 10_000
    """Maximum number of generated images; as many real ones are compared, and as many more are the baseline."""

    seed: int = 0
    """Seed of the first generated image; image i is that of seed + i."""

    image_size: int = 64
    """Height and width of the compared images, for --fake."""

    channels: Literal[1, 3] = 3
    """1 for grayscale, 3 for RGB, for --fake."""

    out: str | None = None
    """Folder for the report; None is eval/images in the run folder, or eval/ in the current folder."""

    cache_dir: str | None = None
    """Folder in which images and features are cached; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    verbose: bool = False
    """Show TensorFlow's log messages."""

    def __post_init__(self):
        require_positive("n", self.n)
        require_positive("image_size", self.image_size)


def run(config):
    """Writes the report and returns the content of `report.json`."""
    if (config.run is None) == (config.fake is None) or (config.fake and not config.real):
        raise UserError("Give --run DIR, the run of a GAN, or --real DIR and --fake DIR, folders of images.")

    from karpa_tf.tasks.gan import evaluate

    return evaluate(config)


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
