"""How weights move: the optimizer, its schedule, and what is done to gradients and weights around it."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import flag, require_not_negative, require_positive, require_share
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """One optimizer and one schedule; the learning rate itself is the run's."""

    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "adam"
    """sgd has Nesterov momentum; muon moves convolutions and hidden matrices, and leaves the rest to Adam."""

    momentum: float = 0.9
    """Momentum of sgd and of muon."""

    weight_decay: float = 0.0
    """Decoupled decay: each step takes this times the learning rate off every kernel; biases, norms and embeddings are
    spared. adam and muon take none."""

    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "constant"
    """After the warm-up the learning rate stays, falls at --step-epochs, or falls to --end-share of itself by the last
    step, along a cosine or, in one_cycle, a line."""

    warmup_epochs: float = 0.0
    """Epochs over which the learning rate rises, on a line, from --start-share of itself."""

    warmup_share: float = 0.0
    """Share of all steps over which the learning rate rises, in place of --warmup-epochs."""

    start_share: float = 0.0
    """Share of the learning rate at which the warm-up begins."""

    end_share: float = 0.0
    """Share of the learning rate at which cosine and one_cycle end."""

    step_epochs: tuple[float, ...] = ()
    """Epochs after which the schedule step multiplies the learning rate by --step-factor."""

    step_factor: float = 0.1
    """What the schedule step multiplies by."""

    adam_learning_rate: float | None = None
    """Step size of the Adam that stands beside muon; None is the learning rate."""

    clip_norm: float | None = None
    """Longest gradient, over all weights together; None clips nothing."""

    accumulate: int = 1
    """Parts in which a batch is worked off, to save memory; the step is that of the whole batch."""

    ema: float = 0.0
    """Decay of the average of the weights that is evaluated and exported; 0 keeps none."""

    def __post_init__(self):
        for field in ("momentum", "ema"):
            require_share(field, getattr(self, field))
        for field in ("start_share", "end_share"):
            if not 0 <= getattr(self, field) <= 1:
                raise UserError(f"{flag(field)} must be from 0 to 1; received {getattr(self, field)}.")
        for field in ("weight_decay", "warmup_epochs"):
            require_not_negative(field, getattr(self, field))
        for field in ("step_factor", "adam_learning_rate", "clip_norm"):
            if getattr(self, field) is not None:
                require_positive(field, getattr(self, field))
        if self.accumulate < 1:
            raise UserError(f"--accumulate must be at least 1; received {self.accumulate}.")
        require_share("warmup_share", self.warmup_share)
        if self.warmup_share and self.warmup_epochs:
            raise UserError("--warmup-share and --warmup-epochs exclude each other; set one of them to 0.")
        if (self.schedule == "step") != bool(self.step_epochs):
            raise UserError(
                "--schedule step and --step-epochs go together, such as --schedule step --step-epochs 80 120."
            )
        if self.optimizer == "adam" and self.weight_decay:
            raise UserError("--optimizer adam takes no --weight-decay; adamw does.")
        if self.optimizer == "muon" and self.weight_decay:
            raise UserError("--optimizer muon takes no --weight-decay: it holds every kernel at a norm of its own.")
