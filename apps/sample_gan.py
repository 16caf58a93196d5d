"""Draws images from a trained GAN: same seed, same bytes.

$ python -m apps.sample_gan --run runs/train_gan/<run> -n 64 --seed 0 --out grid.png
$ python -m apps.sample_gan --saved-model saved_models/dcgan_digits --interpolate --out walk.gif

Image i of a grid is that of seed + i, the same as a server returns for this seed.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

from karpa_tf import cli
from karpa_tf.configs.run import require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    run: str | None = None
    """Run folder of a GAN."""

    saved_model: str | None = None
    """Folder of an exported generator, with or without the version; without, the newest is used."""

    n: Annotated[int, cli.Short(aliases=("-n",))] = 64
    """Number of images."""

    seed: int = 0
    """Seed of the first image."""

    out: str = "grid.png"
    """File to write: .png for a grid, .gif for an animation."""

    interpolate: bool = False
    """Interpolate in n steps from the image of the seed to that of seed + 1."""

    verbose: bool = False
    """Show TensorFlow's log messages."""

    def __post_init__(self):
        require_positive("n", self.n)
        if Path(self.out).suffix.lower() not in (".png", ".gif"):
            raise UserError(f"--out must end in .png or .gif; received {self.out}.")
        if abs(self.seed) >= 2**62:
            raise UserError(f"--seed must be below 2 ** 62; received {self.seed}.")


def run(config):
    """Writes the images and returns them, uint8 (n, height, width, channels)."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Give one of --run DIR and --saved-model DIR.")

    from karpa_tf import plots
    from karpa_tf.system.files import require_writable
    from karpa_tf.system.text_files import make_folder
    from karpa_tf.tasks import gan

    require_writable(Path(config.out).parent, "--out")
    images = gan.sample(config.run, config.saved_model, config.n, config.seed, config.interpolate)
    make_folder(Path(config.out).parent, "--out")
    try:
        plots.save_images(config.out, images)
    except OSError as error:
        raise UserError(f"--out {config.out} cannot be written ({error.strerror}).") from error
    print(f"{config.n} images of {images.shape[1]}x{images.shape[2]} in {config.out}")
    return images


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
