"""What the steps of several trainers do between gradients and weights; exact on any number of replicas."""

import keras
import tensorflow as tf

from karpa_tf.distribution import reductions
from karpa_tf.training import optimizers


def select_inputs(model, data):
    """Returns the entries of a dict that a functional model takes; anything else is returned unchanged.

    A functional model of Keras 3.15 that gets a dict with more entries than it has inputs takes the wrong ones, by
    alphabetical order, and only warns.
    """
    return {tensor.name: data[tensor.name] for tensor in model.inputs} if isinstance(data, dict) else data


def make_moving_average(model):
    """Returns a copy of a model with the same weights, not trainable, to hold the moving average of its weights."""
    average = keras.models.clone_model(model)
    average.set_weights(model.get_weights())
    average.trainable = False
    return average


def update_moving_average(average, model, ema, optimizer):
    """Updates the moving average of a model's weights and batch statistics, after an update by `optimizer`.

    Args:
        average: result of `make_moving_average`.
        model: the trained model.
        ema: decay, in (0, 1). The first steps use (1 + t) / (10 + t) where that is smaller, so that the average forgets
            the initial weights quickly.
        optimizer: its `iterations` are the steps t.
    """
    step = tf.cast(optimizer.iterations.value, tf.float32)  # 1 after the first update
    reductions.update_moving_averages(average.weights, model.weights, tf.minimum(ema, (1 + step) / (10 + step)))


def scale_loss(optimizer, model):
    """Returns an optimizer for a model: under `mixed_float16` it is wrapped in dynamic loss scaling."""
    if model.dtype_policy.name == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def make_groups(optimizer, model):
    """Returns a list of `OptimizerGroup`: one of all weights of a model for a Keras optimizer; a list is unchanged."""
    if isinstance(optimizer, list):
        return optimizer
    optimizer, variables = scale_loss(optimizer, model), model.trainable_variables
    optimizer.build(variables)
    return [optimizers.OptimizerGroup(optimizer, variables, 0)]


def accumulate_gradients(compute_gradients, data, steps, variables):
    """Returns the sum of the gradients over parts of this replica's batch, computed one part after the other.

    Args:
        compute_gradients: function of a part of the data that returns a list of gradients.
        data: nested tensors (batch, ...), of which `steps` divides batch.
        steps: number of parts.
        variables: list of variables, one for each gradient.
    """
    if steps == 1:
        return compute_gradients(data)
    size = tf.shape(tf.nest.flatten(data)[0])[0] // steps

    def add(step, sums):
        rows = slice(step * size, (step + 1) * size)
        gradients = compute_gradients(tf.nest.map_structure(lambda tensor: tensor[rows], data))
        return step + 1, [total + tf.convert_to_tensor(g) for total, g in zip(sums, gradients, strict=True)]

    zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
    # Parallel iterations would need the memory that accumulation saves.
    return tf.while_loop(lambda step, _: step < steps, add, [0, zeros], parallel_iterations=1)[1]


def apply_gradients(groups, gradients, global_clipnorm=None):
    """Updates the weights of all groups by this replica's contributions to the gradients.

    Args:
        groups: list of `optimizers.OptimizerGroup`.
        gradients: one for each variable of the groups, in their order, of a loss scaled by the first group's optimizer.
        global_clipnorm: maximum norm of the gradient over all weights, or None.
    """
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    scaler = groups[0].optimizer
    is_scaled = isinstance(scaler, keras.optimizers.LossScaleOptimizer)
    if is_scaled:
        factor = scaler.scale_loss(tf.constant(1.0))
        gradients = [gradient / factor for gradient in gradients]
    if global_clipnorm is not None:
        gradients = reductions.clip_by_global_norm(gradients, global_clipnorm)
    if is_scaled:
        # A gradient that is not finite makes all optimizers skip the step, not only the one that it belongs to.
        is_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        gradients = [tf.where(is_finite, gradient, float("nan")) for gradient in gradients]
    for group in groups:
        own, gradients = gradients[: len(group.variables)], gradients[len(group.variables) :]
        if is_scaled:
            own = [group.optimizer.scale_loss(gradient) for gradient in own]
        group.optimizer.apply(own, group.variables)


def compile_trainer(trainer, config, parameter_groups, steps_per_epoch, jit_compile=False):
    """Compiles a trainer that takes groups of optimizers as its config says; call it in the scope of the strategy.

    Args:
        trainer: a `Classifier` or `MaskedLM`.
        config: a `RunConfig` with an `OptimizerConfig`, `optimization`.
        parameter_groups: list of `optimizers.ParameterGroup`.
        steps_per_epoch: number of steps in one epoch.
        jit_compile: whether to compile the step with XLA.
    """
    optimization = config.optimization
    groups = optimizers.make_optimizer_groups(
        optimization,
        config.learning_rate,
        parameter_groups,
        config.epochs * steps_per_epoch,
        steps_per_epoch,
        scale_loss=config.precision == "mixed_float16",
    )
    clipping, parts = optimization.global_clipnorm, optimization.gradient_accumulation_steps
    trainer.compile(groups, clipping, parts, jit_compile=jit_compile)
