"""Size and channels of the images that a model takes."""

import dataclasses
from collections.abc import Callable

from karpa_tf.errors import UserError

MAX_PIXEL_BYTES = 16e9
"""Bytes of decoded images up to which they are cached, unless the cache is chosen."""


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """What every image of a data set is converted to, and where data sets and converted images are kept."""

    image_size: int
    """Height and width to crop and resize to, in pixels."""

    channels: int
    """1 for grayscale, 3 for RGB."""

    data_dir: str | None = None
    """Folder of data sets prepared by TensorFlow Datasets; None is its default."""

    cache_dir: str | None = None
    """Folder in which images are cached; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    small_images: str = "refuse"
    """What to do with images smaller than `image_size`: "refuse" the data set, "skip" them, or "enlarge" them."""

    suggest_flags: Callable[[int], str] = "an image size of {}".format
    """Returns the flags that fit the model to images of a given size, for error messages."""

    image_cache: str = "auto"
    """What is cached: decoded "pixels", "files" that are decoded whenever they are read, or "auto"."""

    needs_originals: bool = False
    """Whether more than the central square is of use, which "auto" then keeps."""

    @property
    def smallest_size(self):
        """The shorter side that all images must have, in pixels."""
        return 1 if self.small_images == "enlarge" else self.image_size

    def keeps_files(self, count, is_cropped=True):
        """Returns whether to cache files instead of pixels.

        Args:
            count: number of images.
            is_cropped: whether some images may be larger than the central square of `image_size`.
        """
        if self.image_cache != "auto":
            return self.image_cache == "files"
        is_large = count * self.image_size**2 * self.channels > MAX_PIXEL_BYTES
        return is_large or (self.needs_originals and is_cropped)

    def too_small(self, what, size):
        """Returns the `UserError` for images, described by `what`, of only `size` pixels."""
        return UserError(
            f"{what} smaller than the model's {self.image_size}x{self.image_size}; "
            f"what fits: {self.suggest_flags(size)}."
        )
