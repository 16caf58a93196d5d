"""Shape of the small convolutional classifiers."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_positive, require_share
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class CNNConfig:
    """A stack of convolutions with pooling, flattened, then dense layers; the defaults are the tutorials' first."""

    family: Literal["cnn"] = "cnn"
    """The kind of network; the preset decides."""

    widths: tuple[int, ...] = (32,)
    """Channels of the convolutions; each is followed by 2x2 max pooling."""

    kernel_size: int = 3
    """Side of every convolution's kernel."""

    dense_widths: tuple[int, ...] = (128,)
    """Units of the dense layers before the logits; may be empty."""

    batch_norm: bool = False
    """Normalise every convolution."""

    dropout: float = 0.0
    """Share of the activations dropped after every dense layer."""

    def __post_init__(self):
        if not self.widths:
            raise UserError("--widths needs one or more numbers above 0; received none.")
        for field in ("widths", "dense_widths"):
            for width in getattr(self, field):
                require_positive(field, width)
        require_positive("kernel_size", self.kernel_size)
        require_share("dropout", self.dropout)
