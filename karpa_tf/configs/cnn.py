"""Size of a small convolutional classifier."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_fraction, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class CNNConfig:
    """Convolutions with max pooling, flattened, then dense layers; the defaults are those of introductory tutorials."""

    family: Literal["cnn"] = "cnn"
    """Model family; set by the preset."""

    filters: tuple[int, ...] = (32,)
    """Filters of each convolution; each is followed by 2x2 max pooling."""

    kernel_size: int = 3
    """Kernel size of every convolution."""

    dense_units: tuple[int, ...] = (128,)
    """Units of the dense layers before the logits; may be empty."""

    batch_norm: bool = False
    """Apply batch normalization after every convolution."""

    dropout: float = 0.0
    """Dropout rate after every dense layer."""

    def __post_init__(self):
        if not self.filters:
            raise UserError("--filters needs one or more numbers above 0; received none.")
        for field in ("filters", "dense_units"):
            for size in getattr(self, field):
                require_positive(field, size)
        require_positive("kernel_size", self.kernel_size)
        require_fraction("dropout", self.dropout)
