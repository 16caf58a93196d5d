"""Shapes of residual networks."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_share
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """A stem, stages of residual blocks, the first block of each stage but the first at stride 2."""

    family: Literal["resnet"] = "resnet"
    """The kind of network; the preset decides."""

    blocks: tuple[int, ...] = (3, 3, 3)
    """Residual blocks in each stage."""

    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of the 3x3 convolutions in each stage."""

    block: Literal["basic", "bottleneck", "wide"] = "basic"
    """Two 3x3 convolutions; 1x1, 3x3 and 1x1 to four times the width; or two 3x3 normalised before, not after."""

    stem: Literal["3x3", "7x7"] = "3x3"
    """3x3 at stride 1 for pictures of about 32 pixels, 7x7 at stride 2 with pooling for about 224."""

    shortcut: Literal["padding", "projection"] = "projection"
    """Where the shape changes: every second pixel and zeros for the new channels, or a 1x1 convolution."""

    dropout: float = 0.0
    """Share dropped between the convolutions of a wide block."""

    def __post_init__(self):
        if not self.blocks or len(self.blocks) != len(self.widths) or min(self.blocks + self.widths) < 1:
            raise UserError(
                f"--blocks and --widths need as many numbers above 0; received {self.blocks} and {self.widths}."
            )
        require_share("dropout", self.dropout)


def cifar(depth):
    """Returns ResNet-`depth` for 32x32, depth 6n + 2 (He et al. 2015, section 4.2)."""
    n = _blocks(depth, 2)
    return ResNetConfig(blocks=(n, n, n), shortcut="padding")


def wide(depth, factor, dropout=0.0):
    """Returns WRN-`depth`-`factor` for 32x32, depth 6n + 4 (Zagoruyko and Komodakis 2016, table 1)."""
    n = _blocks(depth, 4)
    return ResNetConfig(blocks=(n, n, n), widths=(16 * factor, 32 * factor, 64 * factor), block="wide", dropout=dropout)


def imagenet(blocks, block, stem="7x7"):
    """Returns one of the networks of He et al. 2015, table 1, with the stem for 224x224 or for 32x32."""
    return ResNetConfig(blocks=blocks, widths=(64, 128, 256, 512), block=block, stem=stem)


def _blocks(depth, others):
    if depth < 6 + others or (depth - others) % 6:
        raise UserError(
            f"The depth must be 6n + {others}: {6 + others}, {12 + others}, {18 + others} ...; received {depth}."
        )
    return (depth - others) // 6
