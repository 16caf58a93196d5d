"""Flags of drawing images from a trained GAN."""

import dataclasses
from pathlib import Path

from karpa_tf.configs.run import require_not_negative
from karpa_tf.configs.source import ModelSource
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class SamplingConfig(ModelSource):
    """Which images are drawn."""

    seed: int = 0
    """Seed of the first image."""

    out: str = "grid.png"
    """File to write: .png for a grid, .gif for an animation."""

    interpolate: bool = False
    """Interpolate in n steps from the image of the seed to that of seed + 1."""

    walk: int = 0
    """Interpolate in n steps through the images of this many seeds, at least 3, and back to the first; 0 does not."""

    truncation: float = 0.0
    """Cut the normal distribution of the noise at this value: images are more alike, and better; 0 does not."""

    label: str | None = None
    """Class to draw, of a conditional GAN; None draws a row of images, with the same noise, for every class. With
    --server, the index of the class."""

    def __post_init__(self):
        super().__post_init__()
        if Path(self.out).suffix.lower() not in (".png", ".gif"):
            raise UserError(f"--out must end in .png or .gif; received {self.out}.")
        if abs(self.seed) >= 2**62:
            raise UserError(f"--seed must be below 2 ** 62; received {self.seed}.")
        require_not_negative("truncation", self.truncation)
        if self.walk and (self.walk < 3 or self.interpolate):
            raise UserError(f"--walk needs 3 seeds or more, and no --interpolate; received {self.walk}.")
        if self.server and (self.walk or self.truncation):
            raise UserError("--walk and --truncation need --run or --saved-model.")
        if self.server and self.label is not None and not self.label.isdecimal():
            raise UserError(f"--label must be the index of a class, from 0, with --server; received {self.label}.")
