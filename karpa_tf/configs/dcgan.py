"""Shape of a DCGAN's two networks."""

import dataclasses

from karpa_tf.configs.run import flag, require_positive, require_share
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class DCGANConfig:
    """Shape of both networks; the defaults are the tutorial network for 64x64 colour images.

    Images are square: side = base * 2 ** len(widths).
    """

    latent_dim: int = 100
    """Length of the noise vector z."""

    channels: int = 3
    """1 for grey images, 3 for colour."""

    base: int = 8
    """Side of the first feature map of the generator; each width doubles it."""

    widths: tuple[int, ...] = (128, 128, 64)
    """Channels of the generator's feature maps, from the smallest map on."""

    discriminator_widths: tuple[int, ...] = (64, 128)
    """Channels of the discriminator's convolutions, each of stride 2."""

    kernel_size: int = 5
    """Side of every convolution's kernel."""

    generator_slope: float = 0.2
    """Slope of the generator's LeakyReLU for negative inputs; 0 is ReLU."""

    discriminator_slope: float = 0.2
    """Slope of the discriminator's LeakyReLU for negative inputs."""

    discriminator_batch_norm: bool = False
    """Normalise every convolution of the discriminator but the first."""

    dropout: float = 0.3
    """Share of the discriminator's activations dropped after each convolution."""

    init_stddev: float | None = None
    """Standard deviation of the initial weights; None is Glorot's uniform initialisation."""

    def __post_init__(self):
        if self.channels not in (1, 3):
            raise UserError(f"--channels must be 1 or 3; received {self.channels}.")
        for field in ("latent_dim", "base", "kernel_size"):
            require_positive(field, getattr(self, field))
        for field in ("widths", "discriminator_widths"):
            widths = getattr(self, field)
            if not widths or min(widths) < 1:
                received = " ".join(map(str, widths)) or "none"
                raise UserError(f"{flag(field)} needs one or more numbers above 0; received {received}.")
        require_share("dropout", self.dropout)
        if self.init_stddev is not None:
            require_positive("init_stddev", self.init_stddev)

    @property
    def side(self):
        """Height and width of the images, in pixels."""
        return self.base * 2 ** len(self.widths)


def fitting_flags(config, side):
    """Returns the flags that bring `config` to images of at most `side` pixels, and at least nine tenths of them.

    As many widths are kept as leave a base of 2 or more: "--base 7 --widths 128 64" for MNIST's 28 pixels.
    """
    for stages in range(len(config.widths), 0, -1):
        base = side >> stages
        if base >= 2 and base << stages >= 0.9 * side:
            break
    return f"--base {max(base, 1)} --widths {' '.join(map(str, config.widths[-stages:]))}"


TINY = DCGANConfig(latent_dim=8, channels=1, base=4, widths=(8, 8), discriminator_widths=(8, 8))
"""16x16 grey images, only to see that everything works."""

DIGITS = DCGANConfig(latent_dim=64, channels=1, base=4, widths=(64, 32), discriminator_widths=(32, 64))
"""16x16 grey images, small enough for a minute on two cores."""

TUTORIAL_28 = DCGANConfig(channels=1, base=7, widths=(128, 64))
"""The tutorial network for 28x28 grey images (MNIST and its kin)."""

TUTORIAL_32 = DCGANConfig(base=8, widths=(128, 64))
"""The tutorial network for 32x32 colour images (CIFAR)."""

TUTORIAL_64 = DCGANConfig()
"""The tutorial network: Dense to 8x8x128, then transposed convolutions of stride 2 to 64x64x3."""

PAPER_64 = DCGANConfig(
    base=4,
    widths=(512, 256, 128, 64),
    discriminator_widths=(64, 128, 256, 512),
    generator_slope=0.0,
    discriminator_batch_norm=True,
    dropout=0.0,
    init_stddev=0.02,
)
"""Radford, Metz and Chintala 2015, section 3 and figure 1, with 64 base widths: four stages, 64x64x3, latent 100."""
