"""Reductions over replicas, to be called in a step; exact for any number of replicas."""

import tensorflow as tf


def mean_over_replicas(values):
    """Returns this replica's contribution to the mean of `values`, float (batch,), over the global batch, a scalar.

    Optimizers sum gradients over the replicas, so the contributions must sum to the mean: each is divided by the number
    of examples of all replicas. Exact too if the replicas hold different numbers of examples.
    """
    return tf.reduce_sum(values) / tf.cast(sum_over_replicas(tf.shape(values)[0]), values.dtype)


def sum_over_replicas(value):
    """Returns the sum of a scalar over the replicas, as float32."""
    return _reduce("SUM", [tf.cast(value, tf.float32)])[0]


def clip_by_global_norm(gradients, norm):
    """Returns the replicas' gradients scaled so that the norm of their sum over the replicas is at most `norm`.

    Keras' optimizers clip the gradients of each replica before they are summed, which gives another step than a single
    replica's.

    Args:
        gradients: list of tensors, the contributions of this replica.
        norm: maximum norm of the sum, over all tensors together (Pascanu et al. 2012, algorithm 1).
    """
    factor = norm / tf.maximum(tf.linalg.global_norm(_reduce("SUM", gradients)), norm)
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]


def average_over_replicas(variables):
    """Sets every floating-point variable of a list to its mean over the replicas, on every replica.

    BatchNormalization of Keras 3.15 keeps moving statistics per replica; only those of the first, which sees a part of
    the data, would be saved.
    """
    variables = [variable for variable in variables if tf.as_dtype(variable.dtype).is_floating]
    if tf.distribute.get_replica_context().num_replicas_in_sync == 1 or not variables:
        return
    means = _reduce("MEAN", [variable.value for variable in variables])
    for variable, mean in zip(variables, means, strict=True):
        variable.assign(mean)


def _reduce(operation, tensors):
    """Returns the sums or means of a list of tensors over the replicas, on each replica."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tensors
    # With several workers of one device each, TensorFlow 2.21 needs the device of every tensor, which the value of a
    # variable does not have, but a copy does.
    return context.all_reduce(operation, [tf.identity(tensor) for tensor in tensors])


def update_moving_averages(averages, variables, decay):
    """Sets each of `averages` to `decay` times itself plus (1 - `decay`) times its variable, on every replica.

    Args:
        averages: list of Keras variables, the moving averages.
        variables: list of as many Keras variables of the same shapes.
        decay: scalar tensor in [0, 1], the same on all replicas.
    """

    def update(strategy, decay):
        for average, variable in zip(averages, variables, strict=True):
            strategy.extended.update(average.value, _move, args=(variable.value, decay), group=False)

    tf.distribute.get_replica_context().merge_call(update, args=(decay,))


def _move(average, value, decay):
    rate = tf.cast(1 - decay, average.dtype)
    average.assign_sub(rate * (average - tf.cast(value, average.dtype)))


def gather_over_replicas(*tensors):
    """Returns the index of this replica's first row, and every tensor, (n, ...), with the rows of all replicas.

    Gradients reach the replica that a row is from. All replicas have the same number of rows.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return 0, *tensors
    size = tf.shape(tensors[0])[0]
    index = context.replica_id_in_sync_group * size

    @tf.custom_gradient
    def gather(tensor):
        # A copy has a device, as in `_reduce`; the gradient of `all_gather` itself reduces tensors that have none.
        # With several workers its result has no known rank.
        gathered = tf.ensure_shape(context.all_gather(tf.identity(tensor), axis=0), [None, *tensor.shape[1:]])
        return gathered, lambda gradient: _reduce("SUM", [gradient])[0][index : index + size]

    return index, *map(gather, tensors)
