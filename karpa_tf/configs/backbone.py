"""Image backbones of KerasHub, with weights that others have published."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_fraction


@dataclasses.dataclass(frozen=True)
class BackboneConfig:
    """An image backbone of KerasHub with a classification head."""

    family: Literal["backbone"] = "backbone"
    """Model family; set by the preset."""

    backbone: str = ""
    """Class, sizes and pixel values of the backbone, as JSON; --init sets it."""

    dropout: float = 0.2
    """Dropout rate of the pooled features."""

    def __post_init__(self):
        require_fraction("dropout", self.dropout)
