"""Augmentation of training images."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import flag, require_fraction, require_not_negative
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Random transformations, drawn anew for every image and epoch; the defaults change nothing."""

    flip: Literal["none", "random", "alternating"] = "none"
    """Horizontal flip: at random in each epoch, or at random in the first epoch and alternating from then on, so that
    two consecutive epochs show every image both ways (Jordan 2024, section 3.6)."""

    crop_padding: float = 0.0
    """Pad by reflection with this fraction of the image size on each side, then crop at random to the original size."""

    crop_scale: float = 1.0
    """Smallest fraction of the image area that a random crop has, which is then resized to the whole; 1 does not crop.
    0.08 is usual for photos, larger values suit images whose objects fill them. --image-cache pixels crops from the
    central square at --image-size."""

    color_jitter: float = 0.0
    """Largest change of brightness, contrast and saturation, as a fraction of each."""

    cutout: float = 0.0
    """Largest fraction of the image area that a gray rectangle covers."""

    cutout_probability: float = 1.0
    """Probability that an image has the rectangle of --cutout (Zhong et al. 2020, "Random erasing"; reprob of timm)."""

    mixup: float = 0.0
    """Alpha of MixUp's beta distribution; 0 turns it off. With --cutmix, each batch has one of both at random."""

    cutmix: float = 0.0
    """Alpha of CutMix's beta distribution; 0 turns it off."""

    randaugment: float = 0.0
    """Magnitude of RandAugment's two operations, in [0, 1]."""

    def __post_init__(self):
        for field in ("cutout", "cutout_probability", "randaugment", "color_jitter"):
            if not 0 <= getattr(self, field) <= 1:
                raise UserError(f"{flag(field)} must be from 0 to 1; received {getattr(self, field)}.")
        if self.cutout_probability < 1 and not self.cutout:
            raise UserError("--cutout-probability needs --cutout, the size of the rectangle.")
        require_fraction("crop_padding", self.crop_padding)
        for field in ("mixup", "cutmix"):
            require_not_negative(field, getattr(self, field))
        if not 0 < self.crop_scale <= 1:
            raise UserError(f"--crop-scale must be above 0 and at most 1; received {self.crop_scale}.")
        if self.crop_scale < 1 and self.crop_padding:
            raise UserError("--crop-scale and --crop-padding exclude each other; set the first to 1 or the other to 0.")

    @property
    def is_active(self):
        """Whether any transformation is on."""
        return self != AugmentationConfig()

    def list_active(self):
        """Returns the names of the fields that are not at their defaults, which change nothing."""
        names = [field.name for field in dataclasses.fields(self)]
        return [name for name in names if getattr(self, name) != getattr(AugmentationConfig(), name)]
