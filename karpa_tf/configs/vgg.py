"""Sizes of VGG networks (Simonyan and Zisserman 2014)."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_fraction
from karpa_tf.errors import UserError

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions per stage, by depth (table 1, columns A, B, D and E)."""


@dataclasses.dataclass(frozen=True)
class VGGConfig:
    """Stages of 3x3 convolutions, each followed by 2x2 max pooling, flattened, then dense layers."""

    family: Literal["vgg"] = "vgg"
    """Model family; set by the preset."""

    convolutions: tuple[int, ...] = CONVOLUTIONS[11]
    """Convolutions per stage."""

    filters: tuple[int, ...] = (64, 128, 256, 512, 512)
    """Filters of each stage."""

    dense_units: tuple[int, ...] = ()
    """Units of the dense layers before the logits."""

    batch_norm: bool = True
    """Apply batch normalization after every convolution."""

    dropout: float = 0.5
    """Dropout rate after every dense layer."""

    def __post_init__(self):
        stages = (self.convolutions, self.filters)
        if not self.filters or len(self.convolutions) != len(self.filters) or min(self.convolutions + self.filters) < 1:
            raise UserError(f"--convolutions and --filters need as many numbers above 0; received {stages}.")
        require_fraction("dropout", self.dropout)


def for_32(depth):
    """Returns the config of VGG-`depth` for images of about 32 pixels, without dense layers before the logits."""
    return VGGConfig(convolutions=CONVOLUTIONS[depth])


def for_224(depth, batch_norm=True):
    """Returns the config of VGG-`depth` as published, for 224x224; the paper has no batch normalization."""
    return VGGConfig(convolutions=CONVOLUTIONS[depth], dense_units=(4096, 4096), batch_norm=batch_norm)
