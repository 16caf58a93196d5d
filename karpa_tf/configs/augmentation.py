"""What is done to training pictures, and to them alone."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import flag, require_not_negative
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Changes drawn anew for every picture and epoch; the defaults change nothing."""

    flip: Literal["none", "random", "alternating"] = "none"
    """Mirror left to right: each epoch by chance, or by chance in the first epoch and every other one after it
    (alternating: within two epochs every picture is seen from both sides; Jordan 2024, section 3.6)."""

    crop_padding: int = 0
    """Shift by up to so many pixels in each direction; the border is filled by reflection."""

    cutout: float = 0.0
    """Largest share of the area that one grey rectangle hides."""

    mixup: float = 0.0
    """Alpha of Mixup's beta distribution; 0 mixes nothing."""

    cutmix: float = 0.0
    """Alpha of CutMix' beta distribution; 0 cuts nothing."""

    randaugment: float = 0.0
    """Strength of RandAugment's two operations, up to 1."""

    def __post_init__(self):
        for field in ("cutout", "randaugment"):
            if not 0 <= getattr(self, field) <= 1:
                raise UserError(f"{flag(field)} must be from 0 to 1; received {getattr(self, field)}.")
        for field in ("crop_padding", "mixup", "cutmix"):
            require_not_negative(field, getattr(self, field))
        if self.mixup and self.cutmix:
            raise UserError("--mixup and --cutmix exclude each other; set one of them to 0.")

    def changes(self):
        """Returns whether anything is changed at all."""
        return self != AugmentationConfig()
