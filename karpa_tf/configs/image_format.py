"""What is done to every picture of a set before it is trained on."""

import dataclasses
from collections.abc import Callable

from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What is done to every picture of a set, and where things are kept."""

    side: int
    """Height and width to crop and resize to, in pixels."""

    channels: int
    """1 for grey, 3 for colour."""

    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its prepared sets; None is its own default."""

    cache_dir: str | None = None
    """Where decoded pictures are kept; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    small_images: str = "refuse"
    """What to do with pictures smaller than `side`: "refuse" the set, "skip" them, or "enlarge" them."""

    advice: Callable[[int], str] = "a side of {}".format
    """Says for a side that the images do fill which flags bring the model to it."""

    def too_small(self, what, side):
        """Returns the `UserError` for images of `what` with only `side` pixels."""
        return UserError(f"{what} smaller than the model's {self.side}x{self.side}; what fits: {self.advice(side)}.")
