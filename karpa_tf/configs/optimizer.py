"""Optimizer, learning rate schedule, and what is done to gradients and weights around them."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import flag, require_fraction, require_not_negative, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """One optimizer and one schedule; the learning rate itself is a field of the run's config."""

    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "adam"
    """sgd uses Nesterov momentum; muon updates convolutions and hidden matrices, and Adam the other weights."""

    momentum: float = 0.9
    """Momentum of sgd and muon."""

    weight_decay: float = 0.0
    """Decoupled weight decay of kernels, multiplied by the learning rate in each step; not applied to biases,
    normalization and embeddings. adam and muon have none."""

    schedule: Literal["constant", "step", "cosine", "one_cycle"] = "constant"
    """After warmup the learning rate is constant, drops at --step-epochs, or decays to --end-fraction of its peak along
    a cosine or, with one_cycle, a line."""

    warmup_epochs: float = 0.0
    """Epochs of linear warmup, starting from --start-fraction of the learning rate."""

    warmup_fraction: float = 0.0
    """Fraction of all steps used for warmup, instead of --warmup-epochs."""

    start_fraction: float = 0.0
    """Fraction of the learning rate at which warmup starts."""

    end_fraction: float = 0.0
    """Fraction of the learning rate at which cosine and one_cycle end."""

    step_epochs: tuple[float, ...] = ()
    """Epochs after which the step schedule multiplies the learning rate by --step-factor."""

    step_factor: float = 0.1
    """Factor of the step schedule."""

    adam_learning_rate: float | None = None
    """Learning rate of the Adam beside muon; None is --learning-rate."""

    global_clipnorm: float | None = None
    """Maximum norm of the gradient over all weights; None does not clip."""

    gradient_accumulation_steps: int = 1
    """Parts in which each replica processes its batch, to save memory; the update is that of the whole batch."""

    ema: float = 0.0
    """Decay of the exponential moving average of the weights, which is then evaluated and exported; 0 for none."""

    def __post_init__(self):
        for field in ("momentum", "ema"):
            require_fraction(field, getattr(self, field))
        for field in ("start_fraction", "end_fraction"):
            if not 0 <= getattr(self, field) <= 1:
                raise UserError(f"{flag(field)} must be from 0 to 1; received {getattr(self, field)}.")
        for field in ("weight_decay", "warmup_epochs"):
            require_not_negative(field, getattr(self, field))
        for field in ("step_factor", "adam_learning_rate", "global_clipnorm"):
            if getattr(self, field) is not None:
                require_positive(field, getattr(self, field))
        if self.gradient_accumulation_steps < 1:
            raise UserError(
                f"--gradient-accumulation-steps must be at least 1; received {self.gradient_accumulation_steps}."
            )
        require_fraction("warmup_fraction", self.warmup_fraction)
        if self.warmup_fraction and self.warmup_epochs:
            raise UserError("--warmup-fraction and --warmup-epochs exclude each other; set one of them to 0.")
        if (self.schedule == "step") != bool(self.step_epochs):
            raise UserError(
                "--schedule step and --step-epochs go together, for example --schedule step --step-epochs 80 120."
            )
        if self.optimizer == "adam" and self.weight_decay:
            raise UserError("--optimizer adam has no --weight-decay; use adamw.")
        if self.optimizer == "muon" and self.weight_decay:
            raise UserError("--optimizer muon has no --weight-decay: it keeps the norm of every kernel fixed.")
