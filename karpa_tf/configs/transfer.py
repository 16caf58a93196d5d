"""Starting from weights that were learned on something else."""

import dataclasses
from typing import Literal

from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class FreezeConfig:
    """How gently to change weights that were learned before."""

    freeze: Literal["none", "features"] = "none"
    """features: only what follows the last features learns, and normalisation keeps the statistics it has."""

    unfreeze_every: int = 0
    """Epochs after which another quarter of the frozen layers, from the top, begins to learn; 0 thaws none."""

    layer_decay: float = 1.0
    """Factor of the learning rate from each quarter of the layers to the one below it."""

    def __post_init__(self):
        if self.unfreeze_every < 0:
            raise UserError(f"--unfreeze-every must be at least 0; received {self.unfreeze_every}.")
        if self.unfreeze_every and self.freeze == "none":
            raise UserError("--unfreeze-every needs --freeze features.")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"--layer-decay must be above 0 and at most 1; received {self.layer_decay}.")


@dataclasses.dataclass(frozen=True)
class TransferConfig(FreezeConfig):
    """What to start from, and how gently to change it."""

    init: str | None = None
    """A run folder, whose network and weights are taken, or a network of keras.applications, such as MobileNetV2."""

    init_weights: str | None = None
    """A .weights.h5 file for the keras.applications network; None takes ImageNet's, which Keras downloads once."""

    def __post_init__(self):
        super().__post_init__()
        if self.freeze != "none" and not self.init:
            raise UserError("--freeze needs --init: there is nothing learned yet to keep.")
        if self.init_weights and not self.init:
            raise UserError("--init-weights needs --init, the name of a keras.applications network.")
