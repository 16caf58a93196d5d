"""Flags of GAN training, and sizes of DCGAN's two networks."""

import dataclasses
import functools
from typing import Literal

from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.configs.run import RunConfig, flag, require_fraction, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class DCGANConfig:
    """Sizes of both networks; the defaults are those of the tutorial for 64x64 color images.

    Images are square, of height and width `base_size * 2 ** len(filters)`.
    """

    latent_dim: int = 100
    """Size of the noise vector z."""

    channels: int = 3
    """1 for grayscale images, 3 for RGB."""

    base_size: int = 8
    """Height and width of the generator's first feature map; each of --filters doubles them."""

    filters: tuple[int, ...] = (128, 128, 64)
    """Channels of the generator's feature maps, from the smallest map on."""

    discriminator_filters: tuple[int, ...] = (64, 128)
    """Filters of the discriminator's convolutions, each with stride 2."""

    kernel_size: int = 5
    """Kernel size of every convolution."""

    generator_negative_slope: float = 0.2
    """Negative slope of the generator's LeakyReLU; 0 is ReLU."""

    discriminator_negative_slope: float = 0.2
    """Negative slope of the discriminator's LeakyReLU."""

    discriminator_batch_norm: bool = False
    """Apply batch normalization after every convolution of the discriminator but the first."""

    dropout: float = 0.3
    """Dropout rate after each convolution of the discriminator."""

    init_stddev: float | None = None
    """Standard deviation of the initial weights; None is Glorot uniform initialization."""

    def __post_init__(self):
        if self.channels not in (1, 3):
            raise UserError(f"--channels must be 1 or 3; received {self.channels}.")
        for field in ("latent_dim", "base_size", "kernel_size"):
            require_positive(field, getattr(self, field))
        for field in ("filters", "discriminator_filters"):
            filters = getattr(self, field)
            if not filters or min(filters) < 1:
                received = " ".join(map(str, filters)) or "none"
                raise UserError(f"{flag(field)} needs one or more numbers above 0; received {received}.")
        require_fraction("dropout", self.dropout)
        if self.init_stddev is not None:
            require_positive("init_stddev", self.init_stddev)

    @property
    def image_size(self):
        """Height and width of the images, in pixels."""
        return self.base_size * 2 ** len(self.filters)


@dataclasses.dataclass(frozen=True)
class GANConfig(RunConfig):
    """Flags of the GAN training program."""

    name: str = "dcgan_digits"
    """Name of the run folder and of the exported model."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, celeb_a, or a folder of images (nested, of any size)."""

    small_images: Literal["refuse", "skip"] = "refuse"
    """What to do if image files are smaller than the model's images."""

    discriminator_learning_rate: float | None = None
    """Learning rate of the discriminator's Adam; None is --learning-rate."""

    loss: Literal["non_saturating", "hinge", "least_squares"] = "non_saturating"
    """Loss of both networks."""

    label_smoothing: float = 0.0
    """One-sided label smoothing: the target for real images is 1 minus this; for --loss non_saturating only."""

    beta_1: float = 0.5
    """Exponential decay rate of the first moment in both Adam optimizers."""

    ema: float = 0.999
    """Decay of the moving average of the generator's weights, which is sampled and exported; 0 for none."""

    sync_batch_norm: bool = False
    """Compute batch statistics over the global batch instead of over each replica's part."""

    model: DCGANConfig = DCGANConfig()
    """Sizes of both networks."""

    def __post_init__(self):
        super().__post_init__()
        if self.discriminator_learning_rate is not None:
            require_positive("discriminator_learning_rate", self.discriminator_learning_rate)
        for field in ("beta_1", "ema", "label_smoothing"):
            require_fraction(field, getattr(self, field))
        if self.label_smoothing and self.loss != "non_saturating":
            raise UserError(f"--label-smoothing needs --loss non_saturating; received --loss {self.loss}.")

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
        )


def suggest_flags(config, size):
    """Returns the flags that fit a `DCGANConfig` to images of at most `size` pixels, and at least nine tenths of it.

    It keeps as many filters as leave a base size of 2 or more: "--base-size 7 --filters 128 64" for 28 pixels.
    """
    for stages in range(len(config.filters), 0, -1):
        base_size = size >> stages
        if base_size >= 2 and base_size << stages >= 0.9 * size:
            break
    return f"--base-size {max(base_size, 1)} --filters {' '.join(map(str, config.filters[-stages:]))}"


TINY = DCGANConfig(latent_dim=8, channels=1, base_size=4, filters=(8, 8), discriminator_filters=(8, 8))
"""16x16 grayscale images, for a quick check that everything works."""

DIGITS = DCGANConfig(latent_dim=64, channels=1, base_size=4, filters=(64, 32), discriminator_filters=(32, 64))
"""16x16 grayscale images, small enough for a minute on two cores."""

TUTORIAL_28 = DCGANConfig(channels=1, base_size=7, filters=(128, 64))
"""The tutorial network for 28x28 grayscale images such as MNIST's."""

TUTORIAL_32 = DCGANConfig(base_size=8, filters=(128, 64))
"""The tutorial network for 32x32 color images (CIFAR)."""

TUTORIAL_64 = DCGANConfig()
"""The tutorial network: Dense to 8x8x128, then transposed convolutions with stride 2 to 64x64x3."""

PAPER_64 = DCGANConfig(
    base_size=4,
    filters=(512, 256, 128, 64),
    discriminator_filters=(64, 128, 256, 512),
    generator_negative_slope=0.0,
    discriminator_batch_norm=True,
    dropout=0.0,
    init_stddev=0.02,
)
"""Radford et al. 2015, section 3 and figure 1, at 64 base filters: four stages to 64x64x3, latent dimension 100."""

# On digits the generator draws more classes, and clearer ones, if it trains faster than the discriminator.
_FAST_GENERATOR = {"learning_rate": 1e-3, "discriminator_learning_rate": 2.5e-4}


def _preset(data, epochs, model, suffix="", **changes):
    return GANConfig(name=f"dcgan_{data}{suffix}", data=data, epochs=epochs, model=model, **changes)


PRESETS = {
    "digits": _preset("digits", 150, DIGITS, **_FAST_GENERATOR),
    "smoke": GANConfig(name="dcgan_smoke", data="digits", epochs=1, model=TINY),
    "mnist": _preset("mnist", 20, TUTORIAL_28, **_FAST_GENERATOR),
    "fashion_mnist": _preset("fashion_mnist", 20, TUTORIAL_28, **_FAST_GENERATOR),
    "cifar10": _preset("cifar10", 50, TUTORIAL_32),
    "celeb_a": _preset("celeb_a", 20, TUTORIAL_64),
    "celeb_a_paper": _preset("celeb_a", 20, PAPER_64, "_paper", batch_size=128),
    "images": _preset("images", 50, TUTORIAL_64),
    "images_paper": _preset("images", 50, PAPER_64, "_paper", batch_size=128),
}
