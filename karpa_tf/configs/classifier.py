"""Flags of the image classification program."""

import dataclasses
from typing import Literal

from karpa_tf.configs.airbench import AirbenchConfig
from karpa_tf.configs.application import ApplicationConfig
from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.configs.backbone import BackboneConfig
from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.configs.labeled import LabeledConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.configs.run import flag, require_positive
from karpa_tf.configs.transfer import TransferConfig
from karpa_tf.configs.vgg import VGGConfig
from karpa_tf.configs.vit import ViTConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(LabeledConfig):
    """Everything but the model, whose flags depend on its family."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, cifar100, another data set of TensorFlow Datasets, or a folder with a
    folder of images per class (or train/<class>/..., and validation/ and test/ if there are any)."""

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

    views: Literal["one", "flip", "flip_shift"] = "one"
    """Test-time augmentation: average the logits over the image, its mirror image, and shifted copies of both."""

    sync_batch_norm: bool = False
    """Compute batch statistics over the global batch instead of over each replica's part."""

    optimization: OptimizerConfig = OptimizerConfig()
    """Optimizer and schedule."""

    augmentation: AugmentationConfig = AugmentationConfig()
    """Augmentation of training images."""

    transfer: TransferConfig = TransferConfig()
    """Pretrained weights."""

    def __post_init__(self):
        super().__post_init__()
        require_positive("image_size", self.image_size)
        if self.transfer.cache_features and self.augmentation.is_active:
            active = ", ".join(map(flag, self.augmentation.list_active()))
            raise UserError(f"--cache-features has one version of each image; turn augmentation off: {active}.")
        if self.channels not in (1, 3):
            raise UserError(f"--channels must be 1 or 3; received {self.channels}.")

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
