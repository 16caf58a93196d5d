"""Trains a DCGAN on a set of images and exports its generator.

$ python -m apps.train_gan                      1,797 handwritten digits, no network
$ python -m apps.train_gan mnist --epochs 3     a set of TensorFlow Datasets
$ python -m apps.train_gan --data ~/images    a folder of your own images, 64x64 in color
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Literal

from karpa_tf import cli
from karpa_tf.configs import gan as gan_configs
from karpa_tf.configs.run import RunConfig, require_fraction, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    """Flags of this program."""

    name: str = "dcgan_digits"
    """Names the run folder and the exported model."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, celeb_a, or a folder of images (nested, any size)."""

    small_images: Literal["refuse", "skip"] = "refuse"
    """What to do with files of images smaller than the model's side."""

    discriminator_learning_rate: float | None = None
    """Step size of the discriminator's Adam; None is the generator's."""

    beta_1: float = 0.5
    """Decay of the first moment in both Adam optimizers."""

    ema: float = 0.999
    """Decay of the average of the generator's weights that is sampled and exported; 0 keeps none."""

    sync_batch_norm: bool = False
    """Normalize with the statistics of the whole batch where several devices share it, not of each one's share."""

    model: gan_configs.DCGANConfig = gan_configs.DIGITS
    """Shape of both networks."""

    def __post_init__(self):
        super().__post_init__()
        if self.discriminator_learning_rate is not None:
            require_positive("discriminator_learning_rate", self.discriminator_learning_rate)
        for field in ("beta_1", "ema"):
            require_fraction(field, getattr(self, field))


def _preset(name, data, epochs, model, **changes):
    return Config(name=f"dcgan_{name}", data=data, epochs=epochs, model=model, **changes)


# On digits the generator draws more kinds, and clearer ones, where it learns faster than its opponent.
FAST_GENERATOR = {"learning_rate": 1e-3, "discriminator_learning_rate": 2.5e-4}

PRESETS = {
    "digits": _preset("digits", "digits", 150, gan_configs.DIGITS, **FAST_GENERATOR),
    "smoke": _preset("smoke", "digits", 1, gan_configs.TINY),
    "mnist": _preset("mnist", "mnist", 20, gan_configs.TUTORIAL_28, **FAST_GENERATOR),
    "fashion_mnist": _preset("fashion_mnist", "fashion_mnist", 20, gan_configs.TUTORIAL_28, **FAST_GENERATOR),
    "cifar10": _preset("cifar10", "cifar10", 50, gan_configs.TUTORIAL_32),
    "celeb_a": _preset("celeb_a", "celeb_a", 20, gan_configs.TUTORIAL_64),
    "celeb_a_paper": _preset("celeb_a_paper", "celeb_a", 20, gan_configs.PAPER_64, batch_size=128),
    "images": _preset("images", "images", 50, gan_configs.TUTORIAL_64),
    "images_paper": _preset("images_paper", "images", 50, gan_configs.PAPER_64, batch_size=128),
}

CURVES = {
    "Losses (nats)": ("g_loss", "d_loss_real", "d_loss_fake"),
    "Probability of being real": ("D(x)", "D(G(z))"),
}


def run(config):
    """Trains, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    import keras
    import tensorflow as tf

    from karpa_tf import plots
    from karpa_tf.configs.image_format import ImageFormat
    from karpa_tf.data.images.batches import noise_batches
    from karpa_tf.data.images.loaders import load_images
    from karpa_tf.distribution import collectives as workers
    from karpa_tf.distribution import strategy
    from karpa_tf.layers.batch_norm import synchronize_batch_norm
    from karpa_tf.models import dcgan as networks
    from karpa_tf.models.sampling import noise_from_seeds
    from karpa_tf.system import files
    from karpa_tf.system.console import warn
    from karpa_tf.tasks import gan as gan_runs
    from karpa_tf.tasks import run_export as run_exports
    from karpa_tf.training import checkpoints, precision
    from karpa_tf.training import fit as fitting
    from karpa_tf.training import run as runs
    from karpa_tf.training.callbacks.sample_grids import SampleGrids, diversity
    from karpa_tf.training.callbacks.watch import DiscriminatorWatch
    from karpa_tf.training.trainers.gan import GAN

    # Data
    strategy.seed_everything(config)
    devices = strategy.make_strategy(config.strategy)
    config = precision.resolve_precision(config, "train_gan")
    strategy.require_divisible(config.batch_size, devices)
    model = config.model
    image_format = ImageFormat(
        image_size=model.image_size,
        channels=model.channels,
        data_dir=config.data_dir,
        cache_dir=config.cache_dir,
        small_images=config.small_images,
        advice=functools.partial(dcgan.suggest_flags, model),
    )
    image_set = load_images(config.data, image_format)
    print(image_set.summary())
    steps_per_epoch = len(image_set.images) // config.batch_size
    if not steps_per_epoch:
        raise UserError(f"--batch-size {config.batch_size} is larger than the data: {len(image_set.images)} images.")

    # Model
    with devices.scope():
        players = [networks.make_generator(model), networks.make_discriminator(model)]
        if config.sync_batch_norm:
            players = [synchronize_batch_norm(player) for player in players]
        trainer = GAN(*players, config.ema)
        trainer.compile(
            keras.optimizers.Adam(config.learning_rate, config.beta_1),
            keras.optimizers.Adam(config.discriminator_learning_rate or config.learning_rate, config.beta_1),
            jit_compile=strategy.jit_compile(config.jit, devices),
        )
    weights = [network.count_params() for network in (trainer.generator, trainer.discriminator)]
    print(
        f"{model.image_size}x{model.image_size}x{model.channels}: generator {weights[0]:,} weights, discriminator {weights[1]:,}"
    )
    print(
        f"{config.epochs} epochs of {steps_per_epoch} steps of {config.batch_size} on {strategy.describe_devices(devices)}"
    )
    files.require_writable(config.export_dir, "--export-dir")
    if config.dry_run:
        print(f"Would write {runs.planned_folder(config, 'train_gan')} and {Path(config.export_dir, config.name)}")
        return None

    # Fit
    run = runs.open_run(config, "train_gan")
    run.update_metadata(data=image_set.metadata(), device=strategy.describe_devices(devices))
    state = checkpoints.restore_latest(trainer, run, warn)
    runs.print_resume_command(run, "train_gan", state.step, steps_per_epoch)
    real_diversity = diversity(image_set.images[:1000])
    fixed_noise = noise_from_seeds(tf.range(64, dtype=tf.int64), model.latent_dim)
    batches = functools.partial(noise_batches, image_set.images, config.batch_size, model.latent_dim, config.seed)
    callbacks = [DiscriminatorWatch(), *([SampleGrids(run, fixed_noise, real_diversity)] if run.writes else [])]
    fitting.fit(trainer, batches, run, config, state, steps_per_epoch, callbacks)

    # Evaluate
    batches = noise_batches(image_set.images, config.batch_size, model.latent_dim, config.seed + 1)
    report = trainer.evaluate(batches, steps=min(steps_per_epoch, 50), verbose=0, return_dict=True)
    if not run.writes:
        workers.barrier()
        return run
    (run.eval / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    plots.save_curves(run.curves_file, run.read_metrics(), CURVES)
    sheets = sorted(run.samples.glob("epoch-*.png"))
    film = run.samples / "training.gif"
    plots.save_animation(film, sheets)

    # Export
    base = Path(config.export_dir, config.name)
    saved_model = run_exports.write_once(run, gan_runs.make_export, base, config.keep_versions)
    print(f"Samples     {sheets[-1]}\nFilm        {film}\nCurves      {run.curves_file}\nSavedModel  {saved_model}")
    workers.barrier()
    return run


def main():
    with cli.errors():
        run(cli.parse(PRESETS, __doc__, implied="images"))


if __name__ == "__main__":
    main()
