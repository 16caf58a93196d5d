"""Command lines of TF Serving's tensorflow_model_server: its flags that have no effect here, and its spelling."""

import dataclasses
import sys

from karpa_tf.configs.serving import ServingConfig
from karpa_tf.errors import UserError

SWITCHES = (
    "allow_version_labels_for_unavailable_models enable_batching enable_model_warmup enable_profiler "
    "enable_per_model_batching_parameters enable_serialization_as_tensor_content enable_signature_method_name_check "
    "flush_filesystem_caches prefer_tflite_model remove_unused_fields_from_bundle_metagraph "
    "rest_api_enable_cors_support xla_cpu_compilation_enabled"
)
"""Flags without effect that are true or false."""

VALUES = (
    "batching_parameters_file grpc_channel_arguments grpc_max_threads load_retry_interval_micros max_num_load_retries "
    "model_config_file_poll_wait_seconds monitoring_config_file num_load_threads num_request_iterations_for_warmup "
    "num_tflite_interpreters_per_pool num_tflite_pools num_unload_threads per_process_gpu_memory_fraction "
    "platform_config_file rest_api_num_threads saved_model_tags tensorflow_inter_op_parallelism "
    "tensorflow_intra_op_parallelism tensorflow_session_config_file tensorflow_session_parallelism "
    "thread_pool_factory_config_file"
)
"""Flags without effect that have a value."""

REFUSED = ("ssl_config_file", "use_alts_credentials")
"""Flags that ask for encryption: without it the server would be less safe than its user believes."""

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def read(words):
    """Returns the words of a command line without the flags that have no effect; a line on standard error names these.

    Flags may be spelled --flag=value and --flag value, switches also --flag and --flag=true.
    """
    switches, values = SWITCHES.split(), VALUES.split()
    own = [field.name for field in dataclasses.fields(ServingConfig) if isinstance(field.default, bool)]
    words, kept, ignored = list(words), [], []
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        flag = name.removeprefix("--").replace("-", "_") if name.startswith("--") else ""
        if flag in (*switches, *own) and not equals and words and words[0].lower() in BOOLEANS:
            value = words.pop(0)
        if flag in REFUSED:
            raise UserError(f"--{flag}: this server has no encryption; use TensorFlow Serving, as deploy/ shows.")
        if flag in values and not equals:
            if not words:
                raise UserError(f"--{flag} needs a value.")
            words.pop(0)
        if flag in (*switches, *values):
            ignored.append(f"--{flag}")
        elif flag in own and value.lower() in BOOLEANS:
            kept.append(f"--{flag}" if BOOLEANS[value.lower()] else f"--no-{flag}")
        else:
            kept.append(word)
    if ignored:
        print(f"No effect here, unlike in TensorFlow Serving: {', '.join(ignored)}", file=sys.stderr)
    return kept
