"""Keras dtype policies: which one a program uses, and building models in one of them."""

import contextlib
import dataclasses
import os
import random
import re
from pathlib import Path

import keras
import tensorflow as tf

from karpa_tf.distribution import cluster, collectives
from karpa_tf.training.run import Run

CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Linux CPU flags, each of which means bfloat16 matrix products in hardware."""


@contextlib.contextmanager
def policy_scope(name):
    """Builds models in the dtype policy `name`; afterwards the policy and Python's random state are as before.

    Keras has no scope for its global policy, and its initializers take their seeds from Python's `random`.
    """
    policy, state = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


@contextlib.contextmanager
def float32_scope(model):
    """Calls of a functional model, made of layers and of models, compute in float32 inside; its weights are the same.

    Args:
        model: functional model.
    """
    layers = [model, *_find_layers(model)]
    policies = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = "float32"
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy


def _find_layers(layer):
    """Returns all layers within a layer, at any depth; those of a layer are its attributes."""
    if isinstance(layer, keras.Model):
        inner = layer.layers
    else:
        inner = [value for value in vars(layer).values() if isinstance(value, keras.layers.Layer)]
    return [found for one in inner for found in (one, *_find_layers(one))]


def resolve_precision(config, task):
    """Returns a config whose precision is not `auto`, and makes that precision Keras' global policy.

    A resumed run keeps its precision. Otherwise `auto` is mixed_bfloat16 if the results of the task were measured to be
    as good in it and the hardware of every worker supports it, and float32 if not; the decision is printed. Call it
    after the strategy was made: workers agree on it.

    Args:
        config: a `RunConfig`.
        task: a `Task`; its `bfloat16` and `app` are used.
    """
    if config.precision == "auto":
        precision, reason = _decide(config, task)
        print(f"precision: {precision} ({reason})")
        config = dataclasses.replace(config, precision=precision)
    keras.config.set_dtype_policy(config.precision)
    return config


def _decide(config, task):
    """Returns the precision that `auto` stands for, the same on all workers, and the reason, in words."""
    earlier = collectives.broadcast_object(_precision_of_run(config) if cluster.is_chief() else None)
    if earlier:
        return earlier, "as the run started"
    if not task.bfloat16:
        return "float32", f"the quality of {task.app} in bfloat16 has not been measured"
    is_lacking, reason = lacks_bfloat16()
    if collectives.all_reduce_max(int(is_lacking)):
        return "float32", reason if is_lacking else "another worker has no bfloat16"
    return "mixed_bfloat16", reason


def _precision_of_run(config):
    """Returns the precision of the run that a config resumes, or None."""
    run = Run(config.run) if config.run and config.resume == "auto" else None
    if not run or not run.config_file.is_file():
        return None
    values = run.read_config()
    return values.get("precision") if isinstance(values, dict) else None


def lacks_bfloat16():
    """Returns whether the device that TensorFlow uses lacks bfloat16, or is not known to have it; and why, in words.

    NVIDIA GPUs support it from compute capability 8.0 on, CPUs if Linux lists one of `CPU_FLAGS`, and all TPUs.
    """
    if tf.config.list_physical_devices("TPU"):
        return False, "TPUs have bfloat16"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        if any("compute_capability" not in detail for detail in details):
            return True, "the compute capability of this GPU is not known"
        lowest = min(detail["compute_capability"] for detail in details)
        has = "has" if lowest >= (8, 0) else "has no"
        return lowest < (8, 0), f"the GPU {has} bfloat16: compute capability {lowest[0]}.{lowest[1]}"
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return True, "TensorFlow is fast in bfloat16 on CPUs only with oneDNN, which is off"
    flags = read_cpu_flags()
    if flags is None:
        return True, "the features of this CPU are not known"
    supported = sorted(CPU_FLAGS & flags)
    return not supported, f"the CPU has {'bfloat16: ' + supported[0] if supported else 'no bfloat16'}"


def read_cpu_flags(path=Path("/proc/cpuinfo")):
    """Returns the set of CPU flags that Linux lists, or None if there are none."""
    try:
        match = re.search(r"^flags\s*:(.*)$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return set(match[1].split()) if match else None
