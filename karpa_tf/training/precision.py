"""Which precision a program computes in."""

import dataclasses
import os
import re
from pathlib import Path

import keras
import tensorflow as tf

from karpa_tf.distribution import cluster
from karpa_tf.distribution import collectives as workers
from karpa_tf.training.run import Run

AS_GOOD_IN_BFLOAT16 = ("train_classifier", "train_gan", "train_mlm", "finetune_text")
"""Programs whose results under mixed_bfloat16 were measured to be as good as in float32: where `auto` may take it."""

CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Either means products of bfloat16 in hardware, as Linux names them."""


def resolve_precision(config, app):
    """Returns a config whose precision is not `auto`, and makes that precision Keras' policy.

    A run that is gone on with keeps its own. Else `auto` takes mixed_bfloat16 if the program is one of
    `AS_GOOD_IN_BFLOAT16` and every worker's hardware has it, or float32, and says which and why. To be called once the
    strategy is chosen: workers agree on it.

    Args:
        config: a `RunConfig`.
        app: name of the program.
    """
    if config.precision == "auto":
        precision, why = _chosen(config, app)
        print(f"precision: {precision} ({why})")
        config = dataclasses.replace(config, precision=precision)
    keras.config.set_dtype_policy(config.precision)
    return config


def _chosen(config, app):
    """Returns the precision that `auto` stands for, the same on all workers, and why, in words."""
    earlier = workers.broadcast_object(_of_the_run(config) if cluster.is_chief() else None)
    if earlier:
        return earlier, "as the run began"
    if app not in AS_GOOD_IN_BFLOAT16:
        return "float32", f"whether {app} learns as well in bfloat16 has not been measured"
    lacking, why = lacks_bfloat16()
    if workers.all_reduce_max(int(lacking)):
        return "float32", why if lacking else "another worker has no bfloat16"
    return "mixed_bfloat16", why


def _of_the_run(config):
    """Returns the precision of the run that a config goes on with, or None."""
    run = Run(config.run) if config.run and config.resume == "auto" else None
    if not run or not run.config_file.is_file():
        return None
    known = run.read_config()
    return known.get("precision") if isinstance(known, dict) else None


def lacks_bfloat16():
    """Returns whether what TensorFlow computes on here is without bfloat16, or not known to have it; and why, in words.

    GPUs have it from NVIDIA's compute capability 8.0 on, CPUs where Linux names one of `CPU_FLAGS`, TPUs all.
    """
    if tf.config.list_physical_devices("TPU"):
        return False, "TPUs have bfloat16"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        if any("compute_capability" not in known for known in details):
            return True, "what this GPU has is not known"
        least = min(known["compute_capability"] for known in details)
        has = "has" if least >= (8, 0) else "has no"
        return least < (8, 0), f"the GPU {has} bfloat16: compute capability {least[0]}.{least[1]}"
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return True, "TensorFlow computes bfloat16 fast on CPUs by oneDNN alone, which is off"
    flags = cpu_flags()
    if flags is None:
        return True, "what this CPU has is not known"
    found = sorted(CPU_FLAGS & flags)
    return not found, f"the CPU has {'bfloat16: ' + found[0] if found else 'no bfloat16'}"


def cpu_flags(path=Path("/proc/cpuinfo")):
    """Returns the set of what Linux says that the CPU can do, or None where nothing is said."""
    try:
        match = re.search(r"^flags\s*:(.*)$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return set(match[1].split()) if match else None
