"""Optimizers over groups of weights, and schedules; what Keras has is taken from Keras."""

import dataclasses
import functools

import keras
from keras import ops

from karpa_tf import keras_compat


@keras.saving.register_keras_serializable("karpa_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A warm-up on a line, then another schedule.

    At step t, counted from 0, and W warm-up steps, the learning rate is `peak` (s + (1 - s) (t + 1) / W) for t < W,
    and that of `after` at t - W from then on.

    Args:
        after: a Keras schedule whose first value is `peak`.
        peak: the largest learning rate.
        warmup_steps: W.
        start_fraction: s, in [0, 1].
        first_step: added to every step; for weights that join a run that has begun.
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
        share = self.start_fraction + (1 - self.start_fraction) * (step + 1) / self.warmup_steps
        return ops.where(step < self.warmup_steps, self.peak * share, after)

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
        peak: the largest learning rate.
        steps: of the whole run.
        steps_per_epoch: converts the config's epochs.
        first_step: as for `Schedule`.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch + config.warmup_fraction * steps)
    after = SCHEDULES[config.schedule](config, peak, max(steps - warmup, 1), steps_per_epoch, warmup)
    return Schedule(after, peak, warmup, config.start_fraction, first_step)


def _constant(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.PolynomialDecay(peak, steps, end_learning_rate=peak)


def _step(config, peak, steps, steps_per_epoch, warmup):
    # Keras keeps a value up to and including its boundary.
    boundaries = [round(epoch * steps_per_epoch) - warmup - 1 for epoch in config.step_epochs]
    values = [peak * config.step_factor**fall for fall in range(len(boundaries) + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay([float(boundary) for boundary in boundaries], values)


def _cosine(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.CosineDecay(peak, steps, alpha=config.end_fraction)


def _one_cycle(config, peak, steps, steps_per_epoch, warmup):
    return keras.optimizers.schedules.PolynomialDecay(peak, steps, end_learning_rate=config.end_fraction * peak)


SCHEDULES = {"constant": _constant, "step": _step, "cosine": _cosine, "one_cycle": _one_cycle}


@keras.saving.register_keras_serializable("karpa_tf")
class Muon(keras.optimizers.Optimizer):
    """Moves every matrix along the orthogonal one nearest to its momentum (Jordan et al. 2024).

    A convolution's kernel (height, width, inputs, outputs) counts as a matrix of height * width * inputs rows; Keras'
    own Muon takes matrices alone. As in the recipe that it was made for (Jordan's airbench94), every kernel is held at
    a Frobenius norm of sqrt(outputs), so that the learning rate is a share of its size, and nothing else decays it.

    Args:
        learning_rate: number or schedule.
        momentum: of Nesterov's kind.
        newton_schulz_steps: iterations of Newton and Schulz; the quintic's singular values end within about 0.3 of 1
            after five.
    """

    def __init__(self, learning_rate=0.02, momentum=0.95, newton_schulz_steps=3, name="muon", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum, self.newton_schulz_steps = momentum, newton_schulz_steps

    def build(self, variables):
        """Makes one momentum for each of `variables`, all of rank 2 or 4."""
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
    """Returns a kernel (..., outputs) with its singular vectors, and singular values near 1, by Newton and Schulz.

    Each step maps a singular value s to 3.4445 s - 4.7750 s^3 + 2.0315 s^5, steep at 0 and within about 0.7 to 1.2
    from then on (Jordan et al. 2024, "Muon").
    """
    x = ops.reshape(kernel, (-1, kernel.shape[-1]))
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = ops.transpose(x)
    x = x / (ops.sqrt(ops.sum(ops.square(x))) + 1e-7)
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x))
        x = 3.4445 * x + ops.matmul(-4.7750 * square + 2.0315 * ops.matmul(square, square), x)
    return ops.reshape(ops.transpose(x) if tall else x, kernel.shape)


@dataclasses.dataclass(frozen=True)
class ParameterGroup:
    """Weights that are treated alike: of one depth, say."""

    variables: list
    """Trainable Keras variables."""

    learning_rate_factor: float = 1.0
    """Factor of the run's learning rate."""

    first_step: int = 0
    """Step from which on they learn."""


@dataclasses.dataclass(frozen=True)
class OptimizerGroup:
    """Weights that one optimizer moves."""

    optimizer: keras.optimizers.Optimizer
    """Built on `variables`."""

    variables: list
    """Trainable Keras variables."""

    first_step: int
    """Step from which on they learn."""


def make_parameter_groups(variables_by_depth, config, steps_per_epoch):
    """Returns the `ParameterGroup`s that a `TransferConfig` asks for.

    Args:
        variables_by_depth: list of lists of variables, the head first, then the features from the top down.
        config: a `TransferConfig`.
        steps_per_epoch: converts the config's epochs.
    """
    parts = []
    for depth, variables in enumerate(variables_by_depth):
        first_step = depth * config.unfreeze_every * steps_per_epoch
        if config.freeze == "none" or not depth or config.unfreeze_every:
            parts.append(ParameterGroup(variables, config.layer_decay**depth, first_step))
    if len({(part.learning_rate_factor, part.first_step) for part in parts}) == 1:
        return [ParameterGroup([variable for part in parts for variable in part.variables])]
    return parts


def make_optimizer_groups(config, learning_rate, parts, steps, steps_per_epoch, scale_loss=False):
    """Returns a list of `OptimizerGroup`, one for each way in which some of the weights are moved; call it under the strategy.

    Args:
        config: an `OptimizerConfig`.
        learning_rate: the largest.
        parts: list of `ParameterGroup`.
        steps: of the whole run.
        steps_per_epoch: converts the config's epochs.
        scale_loss: wrap each optimizer in dynamic loss scaling, for float16.
    """
    groups = []
    for part in parts:
        for variables, factory, peak in _kinds(config, part.variables, learning_rate):
            if not variables:
                continue
            schedule = make_schedule(config, peak * part.learning_rate_factor, steps, steps_per_epoch, part.first_step)
            optimizer = factory(schedule)
            if scale_loss:
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(variables)
            groups.append(OptimizerGroup(optimizer, variables, part.first_step))
    return groups


def _kinds(config, variables, learning_rate):
    """Returns triples of variables, a function from a schedule to an optimizer, and the largest learning rate."""
    if config.optimizer == "muon":
        hidden = [variable for variable in variables if _is_hidden_matrix(variable)]
        others = [variable for variable in variables if not _is_hidden_matrix(variable)]
        return [
            (hidden, lambda schedule: Muon(schedule, config.momentum), learning_rate),
            (others, keras.optimizers.Adam, config.adam_learning_rate or learning_rate),
        ]
    decayed = [variable for variable in variables if has_weight_decay(variable)]
    spared = [variable for variable in variables if not has_weight_decay(variable)]
    decay = config.weight_decay or None
    if config.optimizer == "sgd":
        sgd = functools.partial(keras.optimizers.SGD, momentum=config.momentum, nesterov=True)
        return [(decayed, functools.partial(sgd, weight_decay=decay), learning_rate), (spared, sgd, learning_rate)]
    return [
        (decayed, functools.partial(keras.optimizers.Adam, weight_decay=decay), learning_rate),
        (spared, keras.optimizers.Adam, learning_rate),
    ]


def has_weight_decay(variable):
    """Returns whether weight decay applies: to kernels, not to biases, norms and embeddings."""
    return len(variable.shape) > 1 and "embedding" not in variable.path


def _is_hidden_matrix(variable):
    return len(variable.shape) in (2, 4) and "embedding" not in variable.path and "logits" not in variable.path
