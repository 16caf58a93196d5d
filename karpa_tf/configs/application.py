"""Models of `keras.applications`, with weights pretrained on ImageNet."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_fraction, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ApplicationConfig:
    """A model of `keras.applications` without its classification head."""

    family: Literal["application"] = "application"
    """Model family; set by the preset."""

    application: str = "MobileNetV2"
    """Name in keras.applications; --init overrides it where it names one."""

    alpha: float = 1.0
    """Factor of the number of filters of a MobileNet; ImageNet weights exist for a few, such as 0.35 and 0.5."""

    dropout: float = 0.2
    """Dropout rate of the pooled features."""

    def __post_init__(self):
        require_positive("alpha", self.alpha)
        if self.alpha != 1 and not self.application.startswith("MobileNet"):
            raise UserError(f"--alpha {self.alpha} is for MobileNets only; {self.application} has one width.")
        require_fraction("dropout", self.dropout)


PIXELS = {
    "symmetric": (
        *("MobileNet", "MobileNetV2", "InceptionV3", "InceptionResNetV2", "Xception", "NASNetMobile", "NASNetLarge"),
        *("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    ),
    "centered_bgr": ("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"),
    "standardized": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "unchanged": (
        *(f"EfficientNetB{size}" for size in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        *("MobileNetV3Small", "MobileNetV3Large"),
    ),
}
"""Model names by the pixel values they were trained on: [-1, 1]; [0, 255] in BGR order minus ImageNet's mean; [0, 1]
minus ImageNet's mean and divided by its standard deviation; [0, 255]."""

APPLICATIONS = tuple(name for names in PIXELS.values() for name in names)
