"""Flags of the image classification program."""

import dataclasses
from typing import Literal

from karpa_tf.configs.airbench import AirbenchConfig
from karpa_tf.configs.application import ApplicationConfig
from karpa_tf.configs.backbone import BackboneConfig
from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.image_data import ImageDataConfig
from karpa_tf.configs.labeled import LabeledConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.configs.run import flag
from karpa_tf.configs.transfer import TransferConfig
from karpa_tf.configs.vgg import VGGConfig
from karpa_tf.configs.vit import ViTConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(LabeledConfig, ImageDataConfig):
    """Everything but the model, whose flags depend on its family."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, cifar100, another data set of TensorFlow Datasets, or a folder with a
    folder of images per class (or train/<class>/..., and validation/ and test/ if there are any)."""

    views: Literal["one", "flip", "flip_shift"] = "one"
    """Test-time augmentation: average the logits over the image, its mirror image, and shifted copies of both."""

    sync_batch_norm: bool = False
    """Compute batch statistics over the global batch instead of over each replica's part."""

    optimization: OptimizerConfig = OptimizerConfig()
    """Optimizer and schedule."""

    transfer: TransferConfig = TransferConfig()
    """Pretrained weights."""

    def __post_init__(self):
        super().__post_init__()
        if self.transfer.cache_features and self.augmentation.is_active:
            active = ", ".join(map(flag, self.augmentation.list_active()))
            raise UserError(f"--cache-features has one version of each image; turn augmentation off: {active}.")


@dataclasses.dataclass(frozen=True)
class CNN(ClassifierConfig):
    """Flags for training a small convolutional network."""

    model: CNNConfig = CNNConfig()
    """Size of the model."""


@dataclasses.dataclass(frozen=True)
class VGG(ClassifierConfig):
    """Flags for training a VGG network."""

    model: VGGConfig = VGGConfig()
    """Size of the model."""


@dataclasses.dataclass(frozen=True)
class ResNet(ClassifierConfig):
    """Flags for training a residual network."""

    model: ResNetConfig = ResNetConfig()
    """Size of the model."""


@dataclasses.dataclass(frozen=True)
class Airbench(ClassifierConfig):
    """Flags for training airbench."""

    model: AirbenchConfig = AirbenchConfig()
    """Size of the model."""


@dataclasses.dataclass(frozen=True)
class ViT(ClassifierConfig):
    """Flags for training a vision transformer."""

    model: ViTConfig = ViTConfig()
    """Size of the model."""

    def __post_init__(self):
        super().__post_init__()
        if not self.transfer.init:  # whose sizes are not those of this config
            self.model.require_size(self.image_size, self.image_size)


@dataclasses.dataclass(frozen=True)
class Application(ClassifierConfig):
    """Flags for fine-tuning a model of keras.applications."""

    model: ApplicationConfig = ApplicationConfig()
    """Which model."""


@dataclasses.dataclass(frozen=True)
class Backbone(ClassifierConfig):
    """Flags for fine-tuning an image backbone of KerasHub."""

    model: BackboneConfig = BackboneConfig()
    """Which backbone."""

    def __post_init__(self):
        super().__post_init__()
        if self.sync_batch_norm:
            raise UserError("--sync-batch-norm is not for backbones of KerasHub; use --no-sync-batch-norm.")


FAMILIES = {
    "cnn": CNN,
    "vgg": VGG,
    "resnet": ResNet,
    "airbench": Airbench,
    "application": Application,
    "vit": ViT,
    "backbone": Backbone,
}
"""Config classes by the `family` of their model."""
