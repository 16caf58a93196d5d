"""Flags of the classification program."""

import dataclasses
from typing import Literal

from karpa_tf.configs.application import ApplicationConfig
from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.errors import UserError
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.configs.run import RunConfig, require_not_negative, require_positive, require_share
from karpa_tf.configs.speed_cnn import SpeedCNNConfig
from karpa_tf.configs.transfer import TransferConfig
from karpa_tf.configs.vgg import VGGConfig


@dataclasses.dataclass(frozen=True)
class ClassifierConfig(RunConfig):
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

    test_share: float = 0.2
    """Share of the pictures held out as test part where the data has none."""

    validation_share: float = 0.1
    """Share of the training pictures held out as validation part where the data has none; 0 holds out none."""

    validate_on: Literal["validation", "test", "none"] = "validation"
    """What is measured after every epoch. With test, no validation part is held out; choose nothing by such numbers."""

    label_smoothing: float = 0.0
    """Share of each target that is spread over all classes."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: a picture of a rare class counts for more, so that all classes weigh the same."""

    early_stopping: int = 0
    """Stop after so many epochs without a better validation loss, and take the best epoch's weights; 0 never stops."""

    views: Literal["one", "flip", "flip_shift"] = "one"
    """Views of a picture over which evaluation and export average: itself, its mirror image, or shifted ones too."""

    log_every: int = 20
    """Steps between two rows of metrics.csv."""

    optimization: OptimizerConfig = OptimizerConfig()
    """How weights move."""

    augmentation: AugmentationConfig = AugmentationConfig()
    """What is done to training pictures."""

    transfer: TransferConfig = TransferConfig()
    """What to start from."""

    def __post_init__(self):
        super().__post_init__()
        for field in ("side", "log_every"):
            require_positive(field, getattr(self, field))
        for field in ("test_share", "validation_share", "label_smoothing"):
            require_share(field, getattr(self, field))
        require_not_negative("early_stopping", self.early_stopping)
        if self.early_stopping and self.validate_on != "validation":
            raise UserError("--early-stopping needs --validate-on validation: the test part must choose nothing.")
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
