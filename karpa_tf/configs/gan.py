"""Flags of GAN training."""

import dataclasses
import functools
from typing import Literal

from karpa_tf.configs.dcgan import DCGANConfig
from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.configs.residual_gan import ResidualGANConfig
from karpa_tf.configs.run import RunConfig, require_fraction, require_not_negative, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class GANConfig(RunConfig):
    """Everything but the networks, whose flags depend on their family."""

    name: str = "dcgan_digits"
    """Name of the run folder and of the exported model."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, celeb_a, or a folder of images (nested, of any size)."""

    small_images: Literal["refuse", "skip"] = "refuse"
    """What to do if image files are smaller than the model's images."""

    image_cache: Literal["auto", "pixels", "files"] = "auto"
    """What is cached of images: the pixels of their central squares at the size of the model's images, or the files,
    decoded in every epoch. auto: files if the pixels would need more than 16 GB."""

    conditional: bool = False
    """Train both networks with the classes of the images: generated images are of the class that is asked for."""

    discriminator_learning_rate: float | None = None
    """Learning rate of the discriminator's Adam; None is --learning-rate."""

    linear_decay: bool = False
    """Let both learning rates fall linearly to 0 over the run."""

    beta_1: float = 0.5
    """Exponential decay rate of the first moment in both Adam optimizers."""

    beta_2: float = 0.999
    """Exponential decay rate of the second moment in both Adam optimizers."""

    loss: Literal["non_saturating", "hinge", "least_squares", "wasserstein"] = "non_saturating"
    """Loss of both networks."""

    label_smoothing: float = 0.0
    """One-sided label smoothing: the target for real images is 1 minus this; for --loss non_saturating only."""

    critic_steps: int = 0
    """Updates of the discriminator, each on a batch of its own, per update of the generator; 0 updates both at once."""

    penalty: Literal["none", "gradient", "r1"] = "none"
    """Penalty on the discriminator's gradient, with --critic-steps: gradient is that of WGAN-GP, r1 is its squared norm
    at real images."""

    penalty_weight: float = 10.0
    """Weight of the penalty."""

    penalty_every: int = 1
    """Updates of the discriminator from one r1 penalty to the next, whose weight is as many times larger."""

    augment: Literal["auto", "none", "diffaugment", "ada"] = "none"
    """Augmentation of all images that the discriminator sees, for small data sets; ada adapts its probability. auto is
    diffaugment for fewer than 20,000 images, otherwise none."""

    ema: float = 0.999
    """Decay of the moving average of the generator's weights, which is sampled and exported; 0 for none."""

    sync_batch_norm: bool = False
    """Compute batch statistics over the global batch instead of over each replica's part."""

    evaluate_every: int = 0
    """Epochs from one Frechet distance to the next, by which the best weights are kept and used; 0 measures none."""

    features: str = "pixels"
    """Features for --evaluate-every: pixels, or the run folder of a classifier."""

    evaluated_images: int = 2000
    """Images that are generated for --evaluate-every, and compared with as many real ones."""

    def __post_init__(self):
        super().__post_init__()
        if self.discriminator_learning_rate is not None:
            require_positive("discriminator_learning_rate", self.discriminator_learning_rate)
        for field in ("beta_1", "beta_2", "ema", "label_smoothing"):
            require_fraction(field, getattr(self, field))
        for field in ("critic_steps", "evaluate_every", "penalty_weight"):
            require_not_negative(field, getattr(self, field))
        require_positive("penalty_every", self.penalty_every)
        if self.evaluated_images < 20:
            raise UserError(f"--evaluated-images must be at least 20; received {self.evaluated_images}.")
        if self.label_smoothing and self.loss != "non_saturating":
            raise UserError(f"--label-smoothing needs --loss non_saturating; received --loss {self.loss}.")
        if self.penalty != "none" and not self.critic_steps:
            raise UserError(f"--penalty {self.penalty} needs --critic-steps of at least 1.")
        if self.penalty_every > 1 and self.penalty != "r1":
            raise UserError(f"--penalty-every needs --penalty r1; received --penalty {self.penalty}.")

    @property
    def images_per_step(self):
        """Real images in a step of training: those of all updates of the discriminator."""
        return self.batch_size * max(self.critic_steps, 1)

    @property
    def image_format(self):
        """The `ImageFormat` of both networks."""
        return ImageFormat(
            self.model.image_size,
            self.model.channels,
            self.data_dir,
            self.cache_dir,
            self.small_images,
            functools.partial(suggest_flags, self.model),
            self.image_cache,
        )


def suggest_flags(config, size):
    """Returns the flags that fit a model config to images of at most `size` pixels, and at least nine tenths of it.

    It keeps as many filters as leave a base size of 2 or more: "--base-size 7 --filters 128 64" for 28 pixels.
    """
    for stages in range(len(config.filters), 0, -1):
        base_size = size >> stages
        if base_size >= 2 and base_size << stages >= 0.9 * size:
            break
    return f"--base-size {max(base_size, 1)} --filters {' '.join(map(str, config.filters[-stages:]))}"


@dataclasses.dataclass(frozen=True)
class DCGAN(GANConfig):
    """Flags for training a DCGAN."""

    model: DCGANConfig = DCGANConfig()
    """Sizes of both networks."""


@dataclasses.dataclass(frozen=True)
class ResidualGAN(GANConfig):
    """Flags for training residual networks."""

    model: ResidualGANConfig = ResidualGANConfig()
    """Sizes of both networks."""


FAMILIES = {"dcgan": DCGAN, "residual_gan": ResidualGAN}
"""Config classes by the `family` of their model."""
