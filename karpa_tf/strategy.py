"""Which devices a program trains on, and reductions that are right on any number of replicas."""

import functools
import os

import keras
import tensorflow as tf

from karpa_tf.configs.errors import UserError


def choose(name):
    """Returns the `tf.distribute` strategy called `name`.

    Args:
        name: "auto" for every GPU of this machine, or its CPU; "none" for one device; "mirrored" for all GPUs or,
            without a GPU, all logical CPUs.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        return _mirrored(tuple(device.name for device in devices))
    if name == "auto" and len(gpus) > 1:
        return _mirrored(tuple(device.name for device in gpus))
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices):
    """One for all uses: a second MirroredStrategy in a process numbers its collectives from the same start (TensorFlow
    2.21), and TensorFlow then takes the sums of one for those of the other.
    """
    return tf.distribute.MirroredStrategy(list(devices))


def jit_compile(name, strategy):
    """Returns whether to compile the step with XLA for `--jit NAME`; "auto" means on a single GPU.

    On a CPU XLA makes convolutional networks slower; under several replicas Keras leaves it off too.
    """
    if name == "auto":
        return strategy.num_replicas_in_sync == 1 and bool(tf.config.list_logical_devices("GPU"))
    return name == "on"


def set_up(config):
    """Seeds Python, NumPy and Keras, sets the dtype policy, and asks for determinism if `config` does."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def describe(strategy):
    """Returns the devices in words: "2 x CPU" or "1 x NVIDIA H100"."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        kind = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return f"{strategy.num_replicas_in_sync} x {kind}"
    return f"{strategy.num_replicas_in_sync} x CPU ({os.cpu_count()} cores)"


def require_divisible(batch_size, strategy, accumulate=1):
    """Raises `UserError` if the replicas, and the parts in which each works off its share, do not divide a batch."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % (replicas * accumulate):
        parts = f", each in {accumulate} parts," if accumulate > 1 else ""
        raise UserError(
            f"--batch-size is shared by {replicas} devices{parts} and must be a multiple of {replicas * accumulate}; "
            f"received {batch_size}."
        )


def mean_over_replicas(values):
    """Returns this replica's share of the mean of `values` (batch,) over the global batch, a scalar for the tape.

    Optimizers sum gradients over the replicas, so the shares must sum to the mean: each divides by the number of
    examples of all replicas. Exact also where the replicas hold different numbers of examples.
    """
    return tf.reduce_sum(values) / tf.cast(count_over_replicas(tf.shape(values)[0]), values.dtype)


def count_over_replicas(count):
    """Returns the sum of `count`, a scalar, over the replicas, as float32."""
    context = tf.distribute.get_replica_context()
    count = tf.cast(count, tf.float32)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, count) if context.num_replicas_in_sync > 1 else count


def clipped(gradients, norm):
    """Returns the replicas' gradients scaled so that their sum over the replicas is no longer than `norm`.

    Keras' optimizers clip each replica's share before they sum, which is another step than one replica's.

    Args:
        gradients: list of tensors, a share each.
        norm: the longest that the sum may be, over all tensors together (Pascanu et al. 2012, algorithm 1).
    """
    context = tf.distribute.get_replica_context()
    sums = gradients
    if context.num_replicas_in_sync > 1:
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    factor = norm / tf.maximum(tf.linalg.global_norm(sums), norm)
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]


def synchronize(variables):
    """Sets every floating-point variable of a list to its mean over the replicas, on every replica.

    Keras 3.15's BatchNormalization keeps moving statistics per replica; what is saved would be those of the first,
    which has seen a share of the data only.
    """
    context = tf.distribute.get_replica_context()
    variables = [variable for variable in variables if tf.as_dtype(variable.dtype).is_floating]
    if context.num_replicas_in_sync == 1 or not variables:
        return
    means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.convert_to_tensor(v.value) for v in variables])
    for variable, mean in zip(variables, means, strict=True):
        variable.assign(mean)


def update_averages(averages, variables, decay):
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
