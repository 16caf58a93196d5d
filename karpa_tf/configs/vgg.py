"""Shapes of VGG networks (Simonyan and Zisserman 2014)."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_share
from karpa_tf.errors import UserError

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each of the five stages, by depth (table 1, A, B, D and E)."""


@dataclasses.dataclass(frozen=True)
class VGGConfig:
    """Stages of 3x3 convolutions with 2x2 pooling after each, flattened, then dense layers."""

    family: Literal["vgg"] = "vgg"
    """The kind of network; the preset decides."""

    convolutions: tuple[int, ...] = CONVOLUTIONS[11]
    """Convolutions in each stage."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    """Channels of each stage."""

    dense_widths: tuple[int, ...] = ()
    """Units of the dense layers before the logits."""

    batch_norm: bool = True
    """Normalise every convolution."""

    dropout: float = 0.5
    """Share of the activations dropped after every dense layer."""

    def __post_init__(self):
        stages = (self.convolutions, self.widths)
        if not self.widths or len(self.convolutions) != len(self.widths) or min(self.convolutions + self.widths) < 1:
            raise UserError(f"--convolutions and --widths need as many numbers above 0; received {stages}.")
        require_share("dropout", self.dropout)


def for_32(depth):
    """Returns VGG-`depth` for pictures of about 32 pixels: no dense layers but the logits."""
    return VGGConfig(convolutions=CONVOLUTIONS[depth])


def for_224(depth, batch_norm=True):
    """Returns VGG-`depth` as published, for 224x224; the paper has no batch normalisation."""
    return VGGConfig(convolutions=CONVOLUTIONS[depth], dense_widths=(4096, 4096), batch_norm=batch_norm)
