"""Optimizers over groups of weights; what Keras has is taken from Keras, unless it is slow."""

import dataclasses
import functools

import keras
import tensorflow as tf
from keras import ops

from karpa_tf import keras_compat
from karpa_tf.schedules import make_schedule


@keras.saving.register_keras_serializable("karpa_tf")
class Adam(keras.optimizers.Optimizer):
    """Adam (Kingma and Ba 2015), whose update is one kernel per weight.

    Same variables and results (to the rounding of 1 - beta_2) as Keras 3.15's `Adam`, which takes a dozen operations,
    each with an array of the weight's size. `weight_decay`, as in AdamW (Loshchilov and Hutter 2019), is every Keras
    optimizer's.

    Args:
        learning_rate: number or schedule.
        beta_1: decay of the mean of the gradients.
        beta_2: decay of the mean of their squares.
        epsilon: added to the root of that mean; the paper's epsilon hat (end of section 2), not algorithm 1's.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, name="adam", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables):
        """Makes both means for each of `variables`."""
        if self.built:
            return
        super().build(variables)
        self.momentums, self.velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def update_step(self, gradient, variable, learning_rate):
        place, dtype = keras_compat.variable_index(self, variable), variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self.momentums[place]),
            v=_handle(self.velocities[place]),
            beta1_power=tf.constant(self.beta_1, dtype) ** step,
            beta2_power=tf.constant(self.beta_2, dtype) ** step,
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.constant(self.beta_1, dtype),
            beta2=tf.constant(self.beta_2, dtype),
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

    def get_config(self):
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


def _handle(variable):
    """Returns what a kernel writes to: of a Keras variable, or of this replica's copy of it."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


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
        direction = orthogonalized(gradient + self.momentum * momentum, self.newton_schulz_steps)
        scale = variable.shape[-1] ** 0.5 / ops.sqrt(ops.sum(ops.square(variable)))
        self.assign(variable, variable * scale - learning_rate * direction)

    def get_config(self):
        own = {"momentum": self.momentum, "newton_schulz_steps": self.newton_schulz_steps}
        return super().get_config() | own


def orthogonalized(kernel, steps):
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
class Part:
    """Weights that are treated alike: of one depth, say."""

    variables: list
    """Trainable Keras variables."""

    share: float = 1.0
    """Factor of the run's learning rate."""

    first_step: int = 0
    """Step from which on they learn."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Weights that one optimizer moves."""

    optimizer: keras.optimizers.Optimizer
    """Built on `variables`."""

    variables: list
    """Trainable Keras variables."""

    first_step: int
    """Step from which on they learn."""


def make_parts(variables_by_depth, config, steps_per_epoch):
    """Returns the `Part`s that a `TransferConfig` asks for.

    Args:
        variables_by_depth: list of lists of variables, the head first, then the features from the top down.
        config: a `TransferConfig`.
        steps_per_epoch: converts the config's epochs.
    """
    parts = []
    for depth, variables in enumerate(variables_by_depth):
        first_step = depth * config.unfreeze_every * steps_per_epoch
        if config.freeze == "none" or not depth or config.unfreeze_every:
            parts.append(Part(variables, config.layer_decay**depth, first_step))
    if len({(part.share, part.first_step) for part in parts}) == 1:
        return [Part([variable for part in parts for variable in part.variables])]
    return parts


def make_groups(config, learning_rate, parts, steps, steps_per_epoch, scale_loss=False):
    """Returns a list of `Group`, one for each way in which some of the weights are moved; call it under the strategy.

    Args:
        config: an `OptimizerConfig`.
        learning_rate: the largest.
        parts: list of `Part`.
        steps: of the whole run.
        steps_per_epoch: converts the config's epochs.
        scale_loss: wrap each optimizer in dynamic loss scaling, for float16.
    """
    groups = []
    for part in parts:
        for variables, factory, peak in _kinds(config, part.variables, learning_rate):
            if not variables:
                continue
            schedule = make_schedule(config, peak * part.share, steps, steps_per_epoch, part.first_step)
            optimizer = factory(schedule)
            if scale_loss:
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(variables)
            groups.append(Group(optimizer, variables, part.first_step))
    return groups


def _kinds(config, variables, learning_rate):
    """Returns triples of variables, a function from a schedule to an optimizer, and the largest learning rate."""
    if config.optimizer == "muon":
        hidden = [variable for variable in variables if _is_hidden_matrix(variable)]
        others = [variable for variable in variables if not _is_hidden_matrix(variable)]
        return [
            (hidden, lambda schedule: Muon(schedule, config.momentum), learning_rate),
            (others, Adam, config.adam_learning_rate or learning_rate),
        ]
    decayed = [variable for variable in variables if is_decayed(variable)]
    spared = [variable for variable in variables if not is_decayed(variable)]
    decay = config.weight_decay or None
    if config.optimizer == "sgd":
        sgd = functools.partial(keras.optimizers.SGD, momentum=config.momentum, nesterov=True)
        return [(decayed, functools.partial(sgd, weight_decay=decay), learning_rate), (spared, sgd, learning_rate)]
    return [
        (decayed, functools.partial(Adam, weight_decay=decay), learning_rate),
        (spared, Adam, learning_rate),
    ]


def is_decayed(variable):
    """Returns whether weight decay applies: to kernels, not to biases, norms and embeddings."""
    return len(variable.shape) > 1 and "embedding" not in variable.path


def _is_hidden_matrix(variable):
    return len(variable.shape) in (2, 4) and "embedding" not in variable.path and "logits" not in variable.path
