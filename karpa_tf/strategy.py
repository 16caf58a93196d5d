"""Which devices a program trains on, and reductions that are right on any number of replicas."""

import functools
import os

import keras
import tensorflow as tf

from karpa_tf import cluster
from karpa_tf.configs.errors import UserError, first_line


def choose(name):
    """Returns the `tf.distribute` strategy called `name`; to be called before anything else asks for the devices.

    Args:
        name: "auto" for all workers, if TF_CONFIG or Slurm names several (`cluster.current`), or else for every GPU of
            this machine, or its CPU; "none" for one device; "mirrored" for all GPUs or, without a GPU, all logical
            CPUs; "multiworker" for all workers; "tpu" for the TPU that TensorFlow finds, which nobody has tried here.

    Raises:
        UserError: there are no such devices, or the workers do not find together.
    """
    workers = cluster.current()
    if name == "multiworker" and not workers:
        raise UserError(
            "--strategy multiworker needs several workers, which TF_CONFIG or Slurm's srun names; found neither. On "
            "one machine `python -m karpa_tf.launch --workers 2 -- python -m apps...` starts them."
        )
    if workers:
        if name not in ("auto", "multiworker"):
            raise UserError(
                f"--strategy {name} trains in one process, but {workers.source} names {len(workers.addresses)} "
                "workers; choose --strategy multiworker, or start one process."
            )
        return _multiworker(workers)
    if name == "tpu":
        return _tpu()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        return _mirrored(tuple(device.name for device in devices))
    if name == "auto" and len(gpus) > 1:
        return _mirrored(tuple(device.name for device in gpus))
    return tf.distribute.get_strategy()


@functools.cache
def _multiworker(workers):
    own = workers.addresses[workers.index]
    print(f"Worker {workers.index} of {len(workers.addresses)} ({own}) waits for the others", flush=True)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": workers.addresses}),
        task_type="worker",
        task_id=workers.index,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.UnknownError as error:
        if "gRPC server" not in str(error):
            raise
        raise UserError(
            f"Worker {workers.index} cannot listen on {own}: the port is taken, or not one that this user may open; "
            "name another."
        ) from error


@functools.cache
def _tpu():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local")
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"--strategy tpu finds no TPU on this machine: {first_line(error).partition('. ')[0]}."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


@functools.cache
def _mirrored(devices):
    """One for all uses: a second MirroredStrategy in a process numbers its collectives from the same start (TensorFlow
    2.21), and TensorFlow then takes the sums of one for those of the other.
    """
    return tf.distribute.MirroredStrategy(list(devices))


def jit_compile(name, strategy):
    """Returns whether to compile the step with XLA for `--jit NAME`; "auto" means on a single GPU.

    On a CPU XLA makes convolutional networks slower; under several replicas Keras leaves it off too.

    Raises:
        UserError: TensorFlow 2.21 cannot do it, as for several workers without GPUs.
    """
    workers = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if name == "on" and workers and not tf.config.list_physical_devices("GPU"):
        raise UserError("--jit on compiles no sums over several workers on CPUs; leave it out, or give --jit off.")
    if name == "auto":
        return strategy.num_replicas_in_sync == 1 and bool(tf.config.list_logical_devices("GPU"))
    return name == "on"


def set_up(config):
    """Seeds Python, NumPy and Keras, and asks for determinism if `config` does."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def describe(strategy):
    """Returns the devices in words: "1 x NVIDIA H100" or "2 workers of 1 x CPU (4 cores)"."""
    gpus = tf.config.list_physical_devices("GPU")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind = f"CPU ({cores} cores)"
    if gpus:
        kind = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    workers = cluster.worker_count() if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else 1
    devices = f"{strategy.num_replicas_in_sync // workers} x {kind}"
    return f"{workers} workers of {devices}" if workers > 1 else devices


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
    return _over_replicas("SUM", [tf.cast(count, tf.float32)])[0]


def clipped(gradients, norm):
    """Returns the replicas' gradients scaled so that their sum over the replicas is no longer than `norm`.

    Keras' optimizers clip each replica's share before they sum, which is another step than one replica's.

    Args:
        gradients: list of tensors, a share each.
        norm: the longest that the sum may be, over all tensors together (Pascanu et al. 2012, algorithm 1).
    """
    factor = norm / tf.maximum(tf.linalg.global_norm(_over_replicas("SUM", gradients)), norm)
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]


def synchronize(variables):
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
