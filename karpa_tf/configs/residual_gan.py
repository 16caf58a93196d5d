"""Sizes of residual generators and discriminators."""

import dataclasses
from typing import Literal

from karpa_tf.configs.dcgan import require_sizes
from karpa_tf.configs.run import require_not_negative
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ResidualGANConfig:
    """Sizes of both networks; the defaults are those of SNGAN for 32x32 color images (Miyato et al. 2018, table 4).

    Images are square, of height and width `base_size * 2 ** len(filters)`.
    """

    family: Literal["residual_gan"] = "residual_gan"
    """Model family; set by the preset."""

    latent_dim: int = 128
    """Size of the noise vector z."""

    channels: int = 3
    """1 for grayscale images, 3 for RGB."""

    base_size: int = 4
    """Height and width of the generator's first feature map; each of --filters doubles them."""

    filters: tuple[int, ...] = (256, 256, 256)
    """Filters of the generator's residual blocks, from the smallest map on."""

    discriminator_filters: tuple[int, ...] = (128, 128, 128, 128)
    """Filters of the discriminator's residual blocks, which halve maps that are larger than twice --base-size."""

    spectral_norm: Literal["none", "discriminator", "both"] = "discriminator"
    """Networks with spectral normalization."""

    attention_size: int = 0
    """Height and width of the feature maps of both networks that get self-attention; 0 for none."""

    def __post_init__(self):
        require_sizes(self)
        require_not_negative("attention_size", self.attention_size)
        # Those of the generator's blocks which the discriminator halves its maps to.
        stages = range(1, len(self.filters))
        sizes = [self.base_size * 2**n for n in stages if len(self.filters) - n <= len(self.discriminator_filters)]
        if self.attention_size and self.attention_size not in sizes:
            expected = ", ".join(map(str, [*sizes, "or 0"]))
            raise UserError(
                f"--attention-size must be the size of a feature map of both networks, {expected}; "
                f"received {self.attention_size}."
            )

    @property
    def image_size(self):
        """Height and width of the images, in pixels."""
        return self.base_size * 2 ** len(self.filters)


TINY = ResidualGANConfig(
    latent_dim=8, channels=1, filters=(8, 8), discriminator_filters=(8, 8), spectral_norm="both", attention_size=8
)
"""16x16 grayscale images, for a quick check that everything works."""

SMALL_16 = ResidualGANConfig(
    channels=1, filters=(32, 32), discriminator_filters=(32, 32), spectral_norm="none", latent_dim=64
)
"""16x16 grayscale images, small enough for two minutes on two cores."""

SMALL_28 = dataclasses.replace(SMALL_16, base_size=7, latent_dim=128)
"""The same for 28x28, as in MNIST; 20 minutes."""

SMALL_64 = ResidualGANConfig(
    filters=(128, 64, 32, 16), discriminator_filters=(16, 32, 64, 128), spectral_norm="none", latent_dim=100
)
"""64x64 color images, small enough for half an hour on two cores."""

WGAN_GP_32 = ResidualGANConfig(filters=(128, 128, 128), spectral_norm="none")
"""Gulrajani et al. 2017, appendix F, for 32x32 color images."""

WGAN_GP_64 = ResidualGANConfig(
    filters=(512, 256, 128, 64), discriminator_filters=(64, 128, 256, 512), spectral_norm="none"
)
"""The same for 64x64, with the widths of their appendix on LSUN; one block less is halved."""

SNGAN_32 = ResidualGANConfig()
"""Miyato et al. 2018, table 4."""

SNGAN_64 = ResidualGANConfig(filters=(512, 256, 128, 64), discriminator_filters=(64, 128, 256, 512))
"""The same for 64x64, with the widths of their networks for STL-10 and larger images."""

SAGAN_32 = dataclasses.replace(SNGAN_32, spectral_norm="both", attention_size=16)
"""Zhang et al. 2018: spectral normalization and self-attention in both networks, here on the blocks of SNGAN."""

SAGAN_64 = dataclasses.replace(SNGAN_64, spectral_norm="both", attention_size=32)
"""The same for 64x64."""
