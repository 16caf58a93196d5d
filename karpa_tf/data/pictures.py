"""One picture of any size and mode to one square image: upright, centre-cropped, resized."""

import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from karpa_tf.configs.errors import UserError


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
    """What to do with files of pictures smaller than `side`: "refuse" the folder or "skip" them."""

    advice: Callable[[int], str] = "a side of {}".format
    """Says for a side that the images do fill which flags bring the model to it."""

    def too_small(self, what, side):
        """Returns the `UserError` for images of `what` with only `side` pixels."""
        return UserError(f"{what} smaller than the model's {self.side}x{self.side}; what fits: {self.advice(side)}.")


def square(picture, side, channels):
    """Returns the largest central square of a PIL picture as uint8 (side, side, channels).

    The camera's orientation is applied, transparency becomes white, 16-bit greys are scaled to 8 bits.
    """
    if picture.format == "JPEG":
        # Decodes at 1/2, 1/4 or 1/8 of the size where that is still at least the side asked for.
        picture.draft(None, (side, side))
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture, np.float32) / 257).clip(0, 255).round().astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("L" if channels == 1 else "RGB")
    picture = ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(side, side, channels)
