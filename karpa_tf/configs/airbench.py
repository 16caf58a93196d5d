"""Shape of the network that reaches a high CIFAR-10 accuracy with little arithmetic (Jordan 2024)."""

import dataclasses
from typing import Literal

from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class SpeedCNNConfig:
    """A frozen whitening convolution, then three groups of two convolutions, the first of each pooled."""

    family: Literal["speed_cnn"] = "speed_cnn"
    """The kind of network; the preset decides."""

    widths: tuple[int, ...] = (64, 256, 256)
    """Channels of the groups; each halves the side."""

    whitening_size: int = 2
    """Side of the whitening patches; one channel for each of their principal directions, and one for its opposite."""

    def __post_init__(self):
        if not self.widths or min(self.widths) < 1:
            raise UserError(f"--widths needs one or more numbers above 0; received {self.widths}.")
        if self.whitening_size < 1:
            raise UserError(f"--whitening-size must be above 0; received {self.whitening_size}.")
