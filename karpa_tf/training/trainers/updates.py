"""What the steps of several trainers do between gradients and weights, exact on any number of replicas."""

import keras
import tensorflow as tf

from karpa_tf.distribution import reductions


def select_inputs(model, data):
    """Returns what a model takes of the entries of a dict; what is no dict is returned as it is.

    A functional model of Keras 3.15 that gets a dict with more entries than it has inputs takes them by their place in
    alphabetical order, the wrong ones, and only warns.
    """
    return {tensor.name: data[tensor.name] for tensor in model.inputs} if isinstance(data, dict) else data


def make_moving_average(model):
    """Returns a model of the same weights that does not learn, for the moving average of what `model` will be."""
    average = keras.models.clone_model(model)
    average.set_weights(model.get_weights())
    average.trainable = False
    return average


def update_moving_average(average, model, ema, optimizer):
    """Moves the weights and statistics of `average` to those of `model`, after an update by `optimizer`.

    Args:
        average: what `make_moving_average` returned.
        model: the model that learns.
        ema: decay, in (0, 1). The first steps use (1 + t) / (10 + t) where that is smaller, so that the initial weights
            fade at once.
        optimizer: what counts the steps t.
    """
    step = tf.cast(optimizer.iterations.value, tf.float32)  # 1 after the first update
    reductions.update_moving_averages(average.weights, model.weights, tf.minimum(ema, (1 + step) / (10 + step)))


def accumulate_gradients(gradients_of, data, parts, variables):
    """Returns the sum of the gradients of the parts of this replica's batch.

    Args:
        gradients_of: function of a part of the data that returns a list of gradients.
        data: nested tensors (batch, ...); `parts` divides batch.
        parts: how many.
        variables: list of variables, one for each gradient.
    """
    if parts == 1:
        return gradients_of(data)
    size = tf.shape(tf.nest.flatten(data)[0])[0] // parts

    def add(part, sums):
        rows = slice(part * size, (part + 1) * size)
        gradients = gradients_of(tf.nest.map_structure(lambda tensor: tensor[rows], data))
        return part + 1, [total + tf.convert_to_tensor(g) for total, g in zip(sums, gradients, strict=True)]

    zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
    # One part after the other: together they would need the memory that this is there to save.
    return tf.while_loop(lambda part, _: part < parts, add, [0, zeros], parallel_iterations=1)[1]


def apply_gradients(groups, gradients, global_clipnorm=None):
    """Moves the weights of all groups by gradients, which are this replica's share.

    Args:
        groups: list of `optimizers.OptimizerGroup`.
        gradients: one for each variable of the groups, in their order, of a loss that the first group's optimizer has
            scaled.
        global_clipnorm: longest gradient, over all weights together, or None.
    """
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    scaler = groups[0].optimizer
    scaled = isinstance(scaler, keras.optimizers.LossScaleOptimizer)
    if scaled:
        factor = scaler.scale_loss(tf.constant(1.0))
        gradients = [gradient / factor for gradient in gradients]
    if global_clipnorm is not None:
        gradients = reductions.clip_by_global_norm(gradients, global_clipnorm)
    if scaled:
        # A gradient that is not finite makes all optimizers skip the step, not only the one that it belongs to.
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        gradients = [tf.where(finite, gradient, float("nan")) for gradient in gradients]
    for group in groups:
        own, gradients = gradients[: len(group.variables)], gradients[len(group.variables) :]
        if scaled:
            own = [group.optimizer.scale_loss(gradient) for gradient in own]
        group.optimizer.apply(own, group.variables)
