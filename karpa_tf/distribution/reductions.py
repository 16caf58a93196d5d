"""Reductions that are exact on any number of replicas."""

import tensorflow as tf


def mean_over_replicas(values):
    """Returns this replica's share of the mean of `values` (batch,) over the global batch, a scalar for the tape.

    Optimizers sum gradients over the replicas, so the shares must sum to the mean: each divides by the number of
    examples of all replicas. Exact also where the replicas hold different numbers of examples.
    """
    return tf.reduce_sum(values) / tf.cast(sum_over_replicas(tf.shape(values)[0]), values.dtype)


def sum_over_replicas(count):
    """Returns the sum of `count`, a scalar, over the replicas, as float32."""
    return _over_replicas("SUM", [tf.cast(count, tf.float32)])[0]


def clip_by_global_norm(gradients, norm):
    """Returns the replicas' gradients scaled so that their sum over the replicas is no longer than `norm`.

    Keras' optimizers clip each replica's share before they sum, which is another step than one replica's.

    Args:
        gradients: list of tensors, a share each.
        norm: the longest that the sum may be, over all tensors together (Pascanu et al. 2012, algorithm 1).
    """
    factor = norm / tf.maximum(tf.linalg.global_norm(_over_replicas("SUM", gradients)), norm)
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]


def average_over_replicas(variables):
    """Sets every floating-point variable of a list to its mean over the replicas, on every replica.

    Keras 3.15's BatchNormalization keeps moving statistics per replica; what is saved would be those of the first,
    which has seen a share of the data only.
    """
    variables = [variable for variable in variables if tf.as_dtype(variable.dtype).is_floating]
    if tf.distribute.get_replica_context().num_replicas_in_sync == 1 or not variables:
        return
    means = _over_replicas("MEAN", [variable.value for variable in variables])
    for variable, mean in zip(variables, means, strict=True):
        variable.assign(mean)


def _over_replicas(operation, tensors):
    """Returns the sums or means of a list of tensors over the replicas, on each."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tensors
    # Where each of several workers has one device, TensorFlow 2.21 asks every tensor for its device, which one that is
    # read of a variable does not know, and a copy does.
    return context.all_reduce(operation, [tf.identity(tensor) for tensor in tensors])


def update_moving_averages(averages, variables, decay):
    """Moves each of `averages` to `decay` times itself plus (1 - `decay`) times its variable, on every replica.

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
