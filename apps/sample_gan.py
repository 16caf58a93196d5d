"""Draws images from a trained GAN: same seed, same bytes.

$ python -m apps.sample_gan --run runs/train_gan/<run> -n 64 --seed 0 --out grid.png
$ python -m apps.sample_gan --saved-model saved_models/dcgan_digits --walk 6 --out walk.gif
$ python -m apps.sample_gan --server http://127.0.0.1:8501 --model dcgan_digits      # image i is that of seed + i
"""

import dataclasses
from pathlib import Path
from typing import Annotated

from karpa_tf import cli
from karpa_tf.configs.run import require_positive
from karpa_tf.configs.sampling import SamplingConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(SamplingConfig):
    """Flags of this program."""

    n: Annotated[int, cli.Short(aliases=("-n",))] = 64
    """Number of images; rounded up to the same number for every class of a conditional GAN."""

    def __post_init__(self):
        super().__post_init__()
        require_positive("n", self.n)


def run(config):
    """Writes the images and returns them, uint8 (n, height, width, channels)."""
    config.require_source()

    from karpa_tf import plots
    from karpa_tf.system.files import require_writable
    from karpa_tf.system.text_files import make_folder

    require_writable(Path(config.out).parent, "--out")
    images, columns = _sample(config)
    make_folder(Path(config.out).parent, "--out")
    try:
        plots.save_images(config.out, images, columns)
    except OSError as error:
        raise UserError(f"--out {config.out} cannot be written ({error.strerror}).") from error
    print(f"{len(images)} images of {images.shape[1]}x{images.shape[2]} in {config.out}")
    return images


def _sample(config):
    """Returns the images and the number of columns of their grid, or None for a square."""
    if config.server:
        from karpa_tf.evaluation import predictions
        from karpa_tf.serving.client import connect

        draw = predictions.interpolate_images if config.interpolate else predictions.draw_images
        label = None if config.label is None else int(config.label)
        return draw(connect(config), config.seed, config.n, label), None
    from karpa_tf.tasks import gan

    return gan.sample(config)


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
