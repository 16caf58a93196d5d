"""Sizes of residual networks."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_fraction
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """A stem, then stages of residual blocks; every stage but the first starts with a block of stride 2."""

    family: Literal["resnet"] = "resnet"
    """Model family; set by the preset."""

    blocks: tuple[int, ...] = (3, 3, 3)
    """Residual blocks per stage."""

    filters: tuple[int, ...] = (16, 32, 64)
    """Filters of the 3x3 convolutions of each stage."""

    block: Literal["basic", "bottleneck", "wide"] = "basic"
    """Two 3x3 convolutions; 1x1, 3x3 and 1x1 with four times the filters; or two 3x3 convolutions in pre-activation
    order."""

    stem: Literal["3x3", "7x7"] = "3x3"
    """3x3 with stride 1 for images of about 32 pixels; 7x7 with stride 2 and max pooling for about 224."""

    shortcut: Literal["padding", "projection"] = "projection"
    """Where the shape changes: subsampling with zero-padded channels, or a 1x1 convolution."""

    dropout: float = 0.0
    """Dropout rate between the convolutions of a wide block."""

    def __post_init__(self):
        if not self.blocks or len(self.blocks) != len(self.filters) or min(self.blocks + self.filters) < 1:
            raise UserError(
                f"--blocks and --filters need as many numbers above 0; received {self.blocks} and {self.filters}."
            )
        require_fraction("dropout", self.dropout)


def cifar(depth):
    """Returns the config of ResNet-`depth` for 32x32, with depth 6n + 2 (He et al. 2015, section 4.2)."""
    n = _blocks_per_stage(depth, 2)
    return ResNetConfig(blocks=(n, n, n), shortcut="padding")


def wide(depth, factor, dropout=0.0):
    """Returns the config of WRN-`depth`-`factor` for 32x32, with depth 6n + 4 (Zagoruyko and Komodakis 2016)."""
    n = _blocks_per_stage(depth, 4)
    return ResNetConfig(
        blocks=(n, n, n), filters=(16 * factor, 32 * factor, 64 * factor), block="wide", dropout=dropout
    )


def imagenet(blocks, block, stem="7x7"):
    """Returns the config of a network of He et al. 2015, table 1, with the stem for 224x224 or for 32x32."""
    return ResNetConfig(blocks=blocks, filters=(64, 128, 256, 512), block=block, stem=stem)


def _blocks_per_stage(depth, offset):
    if depth < 6 + offset or (depth - offset) % 6:
        raise UserError(
            f"The depth must be 6n + {offset}: {6 + offset}, {12 + offset}, {18 + offset} ...; received {depth}."
        )
    return (depth - offset) // 6
