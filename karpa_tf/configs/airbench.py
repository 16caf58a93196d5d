"""Size of airbench, a classifier that reaches a high CIFAR-10 accuracy in little time (Jordan 2024)."""

import dataclasses
from typing import Literal

from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class AirbenchConfig:
    """A frozen whitening convolution, then three groups of two convolutions, with pooling after the first of each."""

    family: Literal["airbench"] = "airbench"
    """Model family; set by the preset."""

    filters: tuple[int, ...] = (64, 256, 256)
    """Filters of each group; each group halves height and width."""

    whitening_size: int = 2
    """Kernel size of the whitening convolution; it has one filter per principal direction and one per its negative."""

    def __post_init__(self):
        if not self.filters or min(self.filters) < 1:
            raise UserError(f"--filters needs one or more numbers above 0; received {self.filters}.")
        if self.whitening_size < 1:
            raise UserError(f"--whitening-size must be above 0; received {self.whitening_size}.")
