"""Transfer learning: pretrained weights, and how much of them to train."""

import dataclasses
from typing import Literal

from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class FreezeConfig:
    """How gently to fine-tune pretrained weights."""

    freeze: Literal["none", "features"] = "none"
    """features: train only the layers after the last features; batch normalization keeps its statistics."""

    unfreeze_every: int = 0
    """Epochs after which the next quarter of the frozen layers, from the top, is unfrozen; 0 keeps all frozen."""

    layer_decay: float = 1.0
    """Factor of the learning rate from each quarter of the layers to the quarter below it."""

    def __post_init__(self):
        if self.unfreeze_every < 0:
            raise UserError(f"--unfreeze-every must be at least 0; received {self.unfreeze_every}.")
        if self.unfreeze_every and self.freeze == "none":
            raise UserError("--unfreeze-every needs --freeze features.")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"--layer-decay must be above 0 and at most 1; received {self.layer_decay}.")


@dataclasses.dataclass(frozen=True)
class TransferConfig(FreezeConfig):
    """Which pretrained model to start from, and how gently to fine-tune it."""

    init: str | None = None
    """A run folder, whose model and weights are used; the name of a model in keras.applications, such as MobileNetV2;
    or an image backbone of KerasHub: the name of a preset, such as resnet_18_imagenet, or a folder that holds one."""

    init_weights: str | None = None
    """A .weights.h5 file for the keras.applications model, with or without its head; None takes ImageNet's, which Keras
    downloads once."""

    cache_features: bool = False
    """With --freeze features, compute the features of the images to train and validate on once, without augmentation,
    instead of in every epoch, which then trains the head alone and takes a moment."""

    def __post_init__(self):
        super().__post_init__()
        if self.cache_features and (self.freeze != "features" or self.unfreeze_every):
            raise UserError(
                "--cache-features needs --freeze features and no --unfreeze-every: features must not change."
            )
        if self.freeze != "none" and not self.init:
            raise UserError("--freeze needs --init: without pretrained weights there is nothing to keep.")
        if self.init_weights and not self.init:
            raise UserError("--init-weights needs --init, the name of a keras.applications model.")
