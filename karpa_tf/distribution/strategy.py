"""Which devices a program trains on, and reductions that are right on any number of replicas."""

import functools
import os

import tensorflow as tf

from karpa_tf.distribution import cluster
from karpa_tf.errors import UserError, first_line


def make_strategy(name):
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
            "one machine `python -m karpa_tf.distribution.launch --workers 2 -- python -m apps...` starts them."
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


def describe_devices(strategy):
    """Returns the devices in words: "1 x NVIDIA H100" or "2 workers of 1 x CPU (4 cores)"."""
    gpus = tf.config.list_physical_devices("GPU")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind = f"CPU ({cores} cores)"
    if gpus:
        kind = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    workers = cluster.worker_count() if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else 1
    devices = f"{strategy.num_replicas_in_sync // workers} x {kind}"
    return f"{workers} workers of {devices}" if workers > 1 else devices


def require_divisible(batch_size, strategy, gradient_accumulation_steps=1):
    """Raises `UserError` if the replicas, and the parts in which each works off its share, do not divide a batch."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % (replicas * gradient_accumulation_steps):
        parts = f", each in {gradient_accumulation_steps} parts," if gradient_accumulation_steps > 1 else ""
        raise UserError(
            f"--batch-size is shared by {replicas} devices{parts} and must be a multiple of {replicas * gradient_accumulation_steps}; "
            f"received {batch_size}."
        )
