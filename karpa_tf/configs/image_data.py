"""Flags of every training on images whose size does not depend on the networks."""

import dataclasses
from typing import Literal

from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.configs.run import RunConfig, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ImageDataConfig(RunConfig):
    """What images are converted to, and how they are augmented."""

    image_size: int = 32
    """Height and width that images are cropped and resized to, in pixels."""

    channels: Literal[1, 3] = 3
    """1 for grayscale, 3 for RGB."""

    small_images: Literal["enlarge", "skip", "refuse"] = "enlarge"
    """What to do with images smaller than --image-size."""

    image_cache: Literal["auto", "pixels", "files"] = "auto"
    """What is cached of images: the pixels of their central squares at --image-size, or the files, decoded in every
    epoch. auto: files if the pixels of a split would need more than 16 GB, and with --crop-scale, whose crops are then
    of the whole image at full size instead of the central square; otherwise pixels."""

    augmentation: AugmentationConfig = AugmentationConfig()
    """Augmentation of training images."""

    def __post_init__(self):
        super().__post_init__()
        require_positive("image_size", self.image_size)
        if self.channels not in (1, 3):
            raise UserError(f"--channels must be 1 or 3; received {self.channels}.")

    @property
    def input_shape(self):
        """(height, width, channels) of the images."""
        return self.image_size, self.image_size, self.channels

    @property
    def image_format(self):
        """The `ImageFormat` of the model."""
        return ImageFormat(
            self.image_size,
            self.channels,
            self.data_dir,
            self.cache_dir,
            self.small_images,
            "--image-size {} or --small-images enlarge".format,
            self.image_cache,
            needs_originals=self.augmentation.crop_scale < 1,
        )
