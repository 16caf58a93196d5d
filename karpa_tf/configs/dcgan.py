"""Sizes of DCGAN's two networks."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import flag, require_fraction, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class DCGANConfig:
    """Sizes of both networks; the defaults are those of the tutorial for 64x64 color images.

    Images are square, of height and width `base_size * 2 ** len(filters)`.
    """

    family: Literal["dcgan"] = "dcgan"
    """Model family; set by the preset."""

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
        require_sizes(self)
        require_positive("kernel_size", self.kernel_size)
        require_fraction("dropout", self.dropout)
        if self.init_stddev is not None:
            require_positive("init_stddev", self.init_stddev)

    @property
    def image_size(self):
        """Height and width of the images, in pixels."""
        return self.base_size * 2 ** len(self.filters)


def require_sizes(config):
    """Raises `UserError` unless the sizes that all families of GANs have are possible."""
    if config.channels not in (1, 3):
        raise UserError(f"--channels must be 1 or 3; received {config.channels}.")
    for field in ("latent_dim", "base_size"):
        require_positive(field, getattr(config, field))
    for field in ("filters", "discriminator_filters"):
        filters = getattr(config, field)
        if not filters or min(filters) < 1:
            received = " ".join(map(str, filters)) or "none"
            raise UserError(f"{flag(field)} needs one or more numbers above 0; received {received}.")


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
