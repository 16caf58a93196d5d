"""Flags of the classification program."""

import dataclasses
from typing import Literal

from karpa_tf.configs.airbench import SpeedCNNConfig
from karpa_tf.configs.application import ApplicationConfig
from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.labelled import LabelledConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.configs.run import require_positive
from karpa_tf.configs.transfer import TransferConfig
from karpa_tf.configs.vgg import VGGConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(LabelledConfig):
    """Everything but the network, whose flags depend on its family."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, cifar100, another TensorFlow Datasets set, or a folder with a folder of
    pictures for each class (or train/<class>/..., and validation/ and test/ if there are any)."""

    side: int = 32
    """Height and width that pictures are cropped and resized to, in pixels."""

    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour."""

    small_images: Literal["enlarge", "skip", "refuse"] = "enlarge"
    """What to do with pictures smaller than --side."""

    views: Literal["one", "flip", "flip_shift"] = "one"
    """Views of a picture over which evaluation and export average: itself, its mirror image, or shifted ones too."""

    sync_batch_norm: bool = False
    """Normalise with the statistics of the whole batch where several devices share it, not of each one's share."""

    optimization: OptimizerConfig = OptimizerConfig()
    """How weights move."""

    augmentation: AugmentationConfig = AugmentationConfig()
    """What is done to training pictures."""

    transfer: TransferConfig = TransferConfig()
    """What to start from."""

    def __post_init__(self):
        super().__post_init__()
        require_positive("side", self.side)
        if self.channels not in (1, 3):
            raise UserError(f"--channels must be 1 or 3; received {self.channels}.")


@dataclasses.dataclass(frozen=True)
class CNN(ClassifierConfig):
    """Flags of a small convolutional network's training."""

    model: CNNConfig = CNNConfig()
    """Shape of the network."""


@dataclasses.dataclass(frozen=True)
class VGG(ClassifierConfig):
    """Flags of a VGG network's training."""

    model: VGGConfig = VGGConfig()
    """Shape of the network."""


@dataclasses.dataclass(frozen=True)
class ResNet(ClassifierConfig):
    """Flags of a residual network's training."""

    model: ResNetConfig = ResNetConfig()
    """Shape of the network."""


@dataclasses.dataclass(frozen=True)
class SpeedCNN(ClassifierConfig):
    """Flags of the speed network's training."""

    model: SpeedCNNConfig = SpeedCNNConfig()
    """Shape of the network."""


@dataclasses.dataclass(frozen=True)
class Application(ClassifierConfig):
    """Flags of a training that starts from a network of keras.applications."""

    model: ApplicationConfig = ApplicationConfig()
    """Shape of the network."""


FAMILIES = {"cnn": CNN, "vgg": VGG, "resnet": ResNet, "speed_cnn": SpeedCNN, "application": Application}
"""Config class of each family of networks."""
