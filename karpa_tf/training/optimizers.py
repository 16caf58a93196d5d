"""Optimizers over groups of weights, and learning rate schedules, built from those of Keras."""

import dataclasses
import functools

import keras
from keras import ops

from karpa_tf import keras_compat


@keras.saving.register_keras_serializable("karpa_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup, followed by another schedule.

    At step t, counted from 0, with W warmup steps, the learning rate is `peak` (s + (1 - s) (t + 1) / W) for t < W,
    and that of `after` at t - W from then on.

    Args:
        after: a Keras schedule whose first value is `peak`.
        peak: the maximum learning rate.
        warmup_steps: W.
        start_fraction: s, in [0, 1].
        first_step: added to every step; for weights that are unfrozen later in a run.
    """

    def __init__(self, after, peak, warmup_steps=0, start_fraction=0.0, first_step=0):
        super().__init__()
        self.after, self.peak, self.warmup_steps = after, peak, warmup_steps
        self.start_fraction, self.first_step = start_fraction, first_step

    def __call__(self, step):
        step = ops.cast(step, "float32") + self.first_step
        after = self.after(ops.maximum(step - self.warmup_steps, 0.0))
        if not self.warmup_steps:
            return after
        fraction = self.start_fraction + (1 - self.start_fraction) * (step + 1) / self.warmup_steps
        return ops.where(step < self.warmup_steps, self.peak * fraction, after)

    def get_config(self):
        return {
            "after": keras.optimizers.schedules.serialize(self.after),
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "start_fraction": self.start_fraction,
            "first_step": self.first_step,
        }

    @classmethod
    def from_config(cls, config):
        return cls(keras.optimizers.schedules.deserialize(config.pop("after")), **config)


def make_schedule(config, peak, steps, steps_per_epoch, first_step=0):
    """Returns the `Schedule` of an `OptimizerConfig`.

    Args:
        config: an `OptimizerConfig`.
        peak: the maximum learning rate.
        steps: number of steps of the run.
        steps_per_epoch: number of steps in one epoch.
        first_step: as for `Schedule`.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch + config.warmup_fraction * steps)
    after = _SCHEDULES[config.schedule](config, peak, max(steps - warmup, 1), steps_per_epoch, warmup)
    return Schedule(after, peak, warmup, config.start_fraction, first_step)


def _constant(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.PolynomialDecay(peak, steps, end_learning_rate=peak)


def _step(config, peak, steps, steps_per_epoch, warmup):
    # Keras applies a value up to and including its boundary.
    boundaries = [round(epoch * steps_per_epoch) - warmup - 1 for epoch in config.step_epochs]
    values = [peak * config.step_factor**drops for drops in range(len(boundaries) + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay([float(boundary) for boundary in boundaries], values)


def _cosine(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.CosineDecay(peak, steps, alpha=config.end_fraction)


def _one_cycle(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.PolynomialDecay(peak, steps, end_learning_rate=config.end_fraction * peak)


_SCHEDULES = {"constant": _constant, "step": _step, "cosine": _cosine, "one_cycle": _one_cycle}


@keras.saving.register_keras_serializable("karpa_tf")
class Muon(keras.optimizers.Optimizer):
    """Updates every matrix by its momentum, orthogonalized (Jordan et al. 2024).

    A convolution kernel (height, width, inputs, outputs) counts as a matrix of height * width * inputs rows; Keras' own
    Muon takes matrices only. As in airbench94 (Jordan 2024), every kernel is rescaled to a Frobenius norm of
    sqrt(outputs) in each step, so that the learning rate is relative to its size, and there is no weight decay.

    Args:
        learning_rate: number or schedule.
        momentum: Nesterov momentum.
        newton_schulz_steps: iterations of `orthogonalize`; singular values are within about 0.3 of 1 after five.
    """

    def __init__(self, learning_rate=0.02, momentum=0.95, newton_schulz_steps=3, name="muon", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum, self.newton_schulz_steps = momentum, newton_schulz_steps

    def build(self, variables):
        """Creates one momentum per variable; all variables must have rank 2 or 4."""
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        momentum = self.momentums[keras_compat.variable_index(self, variable)]
        gradient = ops.cast(gradient, variable.dtype)
        learning_rate = ops.cast(learning_rate, variable.dtype)
        self.assign(momentum, momentum * self.momentum + gradient)
        direction = orthogonalize(gradient + self.momentum * momentum, self.newton_schulz_steps)
        scale = variable.shape[-1] ** 0.5 / ops.sqrt(ops.sum(ops.square(variable)))
        self.assign(variable, variable * scale - learning_rate * direction)

    def get_config(self):
        own = {"momentum": self.momentum, "newton_schulz_steps": self.newton_schulz_steps}
        return super().get_config() | own


def orthogonalize(kernel, steps):
    """Returns a kernel (..., outputs) with the same singular vectors and singular values near 1.

    Newton-Schulz iteration: each step maps a singular value s to 3.4445 s - 4.7750 s^3 + 2.0315 s^5, which is steep at
    0 and stays within about 0.7 to 1.2 from then on (Jordan et al. 2024, "Muon").
    """
    x = ops.reshape(kernel, (-1, kernel.shape[-1]))
    is_tall = x.shape[0] > x.shape[1]
    if is_tall:
        x = ops.transpose(x)
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x))
        x = 3.4445 * x + ops.matmul(-4.7750 * square + 2.0315 * ops.matmul(square, square), x)
    return ops.reshape(ops.transpose(x) if is_tall else x, kernel.shape)


@dataclasses.dataclass(frozen=True)
class ParameterGroup:
    """Trainable Keras variables with one learning rate, for example those of the same depth."""

    variables: list

    learning_rate_factor: float = 1.0
    """Factor of the run's learning rate."""

    first_step: int = 0
    """Step from which they are trained."""


@dataclasses.dataclass(frozen=True)
class OptimizerGroup:
    """An optimizer, built on the trainable Keras variables that it updates."""

    optimizer: keras.optimizers.Optimizer

    variables: list

    first_step: int
    """Step from which they are trained."""


def make_parameter_groups(variables_by_depth, config, steps_per_epoch):
    """Returns the list of `ParameterGroup` for a `FreezeConfig`.

    Args:
        variables_by_depth: list of lists of variables: the head, then the features from top to bottom.
        config: a `FreezeConfig`.
        steps_per_epoch: number of steps in one epoch.
    """
    groups = []
    for depth, variables in enumerate(variables_by_depth):
        first_step = depth * config.unfreeze_every * steps_per_epoch
        if config.freeze == "none" or not depth or config.unfreeze_every:
            groups.append(ParameterGroup(variables, config.layer_decay**depth, first_step))
    if len({(group.learning_rate_factor, group.first_step) for group in groups}) == 1:
        return [ParameterGroup([variable for group in groups for variable in group.variables])]
    return groups


def make_optimizer_groups(config, learning_rate, parameter_groups, steps, steps_per_epoch, scale_loss=False):
    """Returns a list of `OptimizerGroup`; call it in the scope of the strategy.

    Args:
        config: an `OptimizerConfig`.
        learning_rate: the maximum learning rate.
        parameter_groups: list of `ParameterGroup`.
        steps: number of steps of the run.
        steps_per_epoch: number of steps in one epoch.
        scale_loss: wrap each optimizer in dynamic loss scaling, for float16.
    """
    groups = []
    for parameters in parameter_groups:
        for variables, make_optimizer, peak in _split_by_optimizer(config, parameters.variables, learning_rate):
            if not variables:
                continue
            peak *= parameters.learning_rate_factor
            optimizer = make_optimizer(make_schedule(config, peak, steps, steps_per_epoch, parameters.first_step))
            if scale_loss:
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(variables)
            groups.append(OptimizerGroup(optimizer, variables, parameters.first_step))
    return groups


def _split_by_optimizer(config, variables, learning_rate):
    """Returns triples of variables, a function from a schedule to an optimizer, and the maximum learning rate."""
    if config.optimizer == "muon":
        hidden = [variable for variable in variables if is_hidden_matrix(variable)]
        others = [variable for variable in variables if not is_hidden_matrix(variable)]
        return [
            (hidden, lambda schedule: Muon(schedule, config.momentum), learning_rate),
            (others, keras.optimizers.Adam, config.adam_learning_rate or learning_rate),
        ]
    decay = [variable for variable in variables if has_weight_decay(variable)]
    no_decay = [variable for variable in variables if not has_weight_decay(variable)]
    weight_decay = config.weight_decay or None
    if config.optimizer == "sgd":
        sgd = functools.partial(keras.optimizers.SGD, momentum=config.momentum, nesterov=True)
        with_decay = functools.partial(sgd, weight_decay=weight_decay)
        return [(decay, with_decay, learning_rate), (no_decay, sgd, learning_rate)]
    return [
        (decay, functools.partial(keras.optimizers.Adam, weight_decay=weight_decay), learning_rate),
        (no_decay, keras.optimizers.Adam, learning_rate),
    ]


def has_weight_decay(variable):
    """Returns whether weight decay applies to a variable: to kernels, not to biases, normalization and embeddings."""
    return len(variable.shape) > 1 and "embedding" not in variable.path


def is_hidden_matrix(variable):
    """Returns whether `Muon` updates a variable: a matrix or convolution that is neither embedding nor output layer."""
    return len(variable.shape) in (2, 4) and "embedding" not in variable.path and "logits" not in variable.path
