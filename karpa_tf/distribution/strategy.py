"""Devices to train on."""

import functools
import os

import tensorflow as tf

from karpa_tf.distribution import cluster
from karpa_tf.errors import UserError, first_line


def make_strategy(name):
    """Returns a `tf.distribute` strategy; call it before anything else uses the devices.

    Args:
        name: "auto" for all workers if TF_CONFIG or Slurm names several (`cluster.current`), otherwise for all GPUs of
            this machine, or its CPU; "none" for one device; "mirrored" for all GPUs or, without a GPU, all logical
            CPUs; "multiworker" for all workers; "tpu" for the TPU that TensorFlow finds (untested).

    Raises:
        UserError: there are no such devices, or the workers cannot connect.
    """
    workers = cluster.current()
    if name == "multiworker" and not workers:
        raise UserError(
            "--strategy multiworker needs several workers, named by TF_CONFIG or Slurm's srun; found neither. On one "
            "machine `python -m karpa_tf.distribution.launch --workers 2 -- python -m apps...` starts them."
        )
    if workers:
        if name not in ("auto", "multiworker"):
            raise UserError(
                f"--strategy {name} trains in one process, but {workers.source} names {len(workers.addresses)} "
                "workers; choose --strategy multiworker, or start one process."
            )
        return _make_multiworker(workers)
    if name == "tpu":
        return _make_tpu()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        return _make_mirrored(tuple(device.name for device in devices))
    if name == "auto" and len(gpus) > 1:
        return _make_mirrored(tuple(device.name for device in gpus))
    return tf.distribute.get_strategy()


@functools.cache
def _make_multiworker(workers):
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
            f"Worker {workers.index} cannot listen on {own}: the port is in use, or not permitted to this user; "
            "choose another."
        ) from error


@functools.cache
def _make_tpu():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local")
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"--strategy tpu finds no TPU on this machine: {first_line(error).partition('. ')[0]}."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


@functools.cache
def _make_mirrored(devices):
    """Returns one strategy per process and devices.

    A second MirroredStrategy in a process numbers its collectives from the same start, and TensorFlow 2.21 then mixes
    up the sums of both.
    """
    return tf.distribute.MirroredStrategy(list(devices))


def jit_compile(name, strategy):
    """Returns whether to compile the step with XLA for `--jit NAME`; "auto" does so on a single GPU.

    On CPUs XLA makes convolutional networks slower; under several replicas Keras leaves it off too.

    Raises:
        UserError: TensorFlow 2.21 cannot compile, as for several workers without GPUs.
    """
    is_multiworker = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if name == "on" and is_multiworker and not tf.config.list_physical_devices("GPU"):
        raise UserError("--jit on cannot compile sums over several workers on CPUs; leave it out, or use --jit off.")
    if name == "auto":
        return strategy.num_replicas_in_sync == 1 and bool(tf.config.list_logical_devices("GPU"))
    return name == "on"


def describe_devices(strategy):
    """Returns the devices of a strategy as text: "1 x NVIDIA H100" or "2 workers of 1 x CPU (4 cores)"."""
    gpus = tf.config.list_physical_devices("GPU")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = f"CPU ({cores} cores)"
    if gpus:
        device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    workers = cluster.worker_count() if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else 1
    devices = f"{strategy.num_replicas_in_sync // workers} x {device}"
    return f"{workers} workers of {devices}" if workers > 1 else devices


def require_divisible(batch_size, strategy, accumulation_steps=1):
    """Raises `UserError` unless the replicas, and the accumulation steps of each, divide a global batch."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % (replicas * accumulation_steps):
        steps = f" in {accumulation_steps} accumulation steps each" if accumulation_steps > 1 else ""
        raise UserError(
            f"--batch-size is divided among {replicas} devices{steps} and must be a multiple of "
            f"{replicas * accumulation_steps}; received {batch_size}."
        )
