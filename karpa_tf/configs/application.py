"""Networks of `keras.applications`, with weights learned on ImageNet."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_share


@dataclasses.dataclass(frozen=True)
class ApplicationConfig:
    """A network of `keras.applications` without its head."""

    family: Literal["application"] = "application"
    """The kind of network; the preset decides."""

    application: str = "MobileNetV2"
    """Name in keras.applications; where --init names one, it is that."""

    dropout: float = 0.2
    """Share of the pooled features dropped before the logits."""

    def __post_init__(self):
        require_share("dropout", self.dropout)


PIXELS = {
    "symmetric": (
        *("MobileNet", "MobileNetV2", "InceptionV3", "InceptionResNetV2", "Xception", "NASNetMobile", "NASNetLarge"),
        *("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    ),
    "centred_bgr": ("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"),
    "standardised": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "unchanged": (
        *(f"EfficientNetB{size}" for size in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        *("MobileNetV3Small", "MobileNetV3Large"),
    ),
}
"""Which pixels each network was trained on: [-1, 1]; [0, 255] as BGR less ImageNet's mean; [0, 1] less ImageNet's mean
and divided by its deviation; or [0, 255]."""

APPLICATIONS = tuple(name for names in PIXELS.values() for name in names)
