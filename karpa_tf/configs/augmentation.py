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

    cutout: float = 0.0
    """Largest fraction of the image area that a gray rectangle covers."""

    mixup: float = 0.0
    """Alpha of MixUp's beta distribution; 0 turns it off."""

    cutmix: float = 0.0
    """Alpha of CutMix's beta distribution; 0 turns it off."""

    randaugment: float = 0.0
    """Magnitude of RandAugment's two operations, in [0, 1]."""

    def __post_init__(self):
        for field in ("cutout", "randaugment"):
            if not 0 <= getattr(self, field) <= 1:
                raise UserError(f"{flag(field)} must be from 0 to 1; received {getattr(self, field)}.")
        require_fraction("crop_padding", self.crop_padding)
        for field in ("mixup", "cutmix"):
            require_not_negative(field, getattr(self, field))
        if self.mixup and self.cutmix:
            raise UserError("--mixup and --cutmix exclude each other; set one of them to 0.")

    @property
    def is_active(self):
        """Whether any transformation is on."""
        return self != AugmentationConfig()
