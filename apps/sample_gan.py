"""Draws images from a trained GAN: same seed, same bytes.

$ python -m apps.sample_gan --run runs/train_gan/<run> -n 64 --seed 0 --out sheet.png
$ python -m apps.sample_gan --saved-model saved_models/dcgan_digits --interpolate --out walk.gif

Image i of a sheet is that of seed + i: the one that a server gives for the same number.
"""

import dataclasses
from pathlib import Path

from karpa_tf import cli
from karpa_tf.configs.run import require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    run: str | None = None
    """Folder of a run of train_gan."""

    saved_model: str | None = None
    """Folder of an exported generator, with or without the version; without, the newest is taken."""

    n: int = 64
    """Number of images; -n will do."""

    seed: int = 0
    """Seed of the first image."""

    out: str = "sheet.png"
    """File to write: .png for a sheet, .gif for a film."""

    interpolate: bool = False
    """Walk in n steps from the image of the seed to that of seed + 1."""

    verbose: bool = False
    """Show TensorFlow's own messages."""

    def __post_init__(self):
        require_positive("n", self.n)
        if Path(self.out).suffix.lower() not in (".png", ".gif"):
            raise UserError(f"--out must end in .png or .gif; received {self.out}.")
        if abs(self.seed) >= 2**62:
            raise UserError(f"--seed must be below 2 ** 62; received {self.seed}.")


def run(config):
    """Writes the images and returns them, uint8 (n, side, side, channels)."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Name one of --run DIR and --saved-model DIR.")

    import tensorflow as tf

    from karpa_tf import plots
    from karpa_tf.models.sampling import interpolate, noise_from_seeds
    from karpa_tf.system import files

    files.require_writable(Path(config.out).parent, "--out")
    from_seed, from_noise, latent_dim = _load_run(config.run) if config.run else _load_export(config.saved_model)
    if config.interpolate:
        start, end = noise_from_seeds(tf.constant([config.seed, config.seed + 1], tf.int64), latent_dim)
        images = from_noise(noise=interpolate(start, end, config.n))["images"].numpy()
    else:
        images = from_seed(seed=tf.range(config.seed, config.seed + config.n, dtype=tf.int64))["images"].numpy()
    try:
        Path(config.out).parent.mkdir(parents=True, exist_ok=True)
        plots.save_images(config.out, images)
    except OSError as error:
        raise UserError(f"--out {config.out} cannot be written ({error.strerror}).") from error
    print(f"{config.n} images of {images.shape[1]}x{images.shape[2]} in {config.out}")
    return images


def _load_run(directory):
    """Returns the functions of both signatures and the length of the noise, from the newest checkpoint of a run."""
    from karpa_tf.export.generator import generator_functions
    from karpa_tf.tasks import gan as gan_runs

    generator, _ = gan_runs.load_generator(directory)
    functions = generator_functions(generator)
    return functions["serving_default"], functions["noise"], generator.input_shape[-1]


def _load_export(directory):
    """Returns the signatures and the length of the noise of an exported generator."""
    from karpa_tf.export.versions import load_version

    signatures = load_version(directory)
    if not {"serving_default", "noise"} <= set(signatures):
        raise UserError(f"--saved-model {directory} is no generator; its signatures are {', '.join(signatures)}.")
    latent_dim = signatures["noise"].structured_input_signature[1]["noise"].shape[-1]
    return signatures["serving_default"], signatures["noise"], latent_dim


def main():
    with cli.errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
