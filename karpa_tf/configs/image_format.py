"""Size and channels of the images that a model takes."""

import dataclasses
from collections.abc import Callable

from karpa_tf.errors import UserError


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
    """Folder in which decoded images are cached; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    small_images: str = "refuse"
    """What to do with images smaller than `image_size`: "refuse" the data set, "skip" them, or "enlarge" them."""

    suggest_flags: Callable[[int], str] = "an image size of {}".format
    """Returns the flags that fit the model to images of a given size, for error messages."""

    def too_small(self, what, size):
        """Returns the `UserError` for images, described by `what`, of only `size` pixels."""
        return UserError(
            f"{what} smaller than the model's {self.image_size}x{self.image_size}; "
            f"what fits: {self.suggest_flags(size)}."
        )
