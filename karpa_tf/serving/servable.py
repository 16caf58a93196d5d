"""One loaded version of a model: a session and a callable for every signature and set of outputs."""

import functools
import threading
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import config_pb2

from karpa_tf.errors import first_line
from karpa_tf.serving.errors import ServingError, from_tensorflow, invalid
from karpa_tf.serving.limits import Limits

INIT_OP = "__saved_model_init_op"
"""A signature that TensorFlow adds for its own use; it has no outputs that could be fetched."""


class Servable:
    """A version that answers requests, from any number of threads.

    It is loaded by TensorFlow's loader for sessions, as TF Serving does it, with its tables initialized; a callable of
    the session is the fastest way to run a signature from Python.

    Attributes:
        name, version, path: of the model, and the folder it was loaded from.
        signatures: dict of `SignatureDef` by name.
    """

    def __init__(self, name, version, path, limits=None):
        """Loads the version.

        Raises:
            ServingError: it is damaged, with TensorFlow's code.
        """
        self.name, self.version, self.path = name, int(version), Path(path)
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._callables = {}
        options = config_pb2.ConfigProto(gpu_options=config_pb2.GPUOptions(allow_growth=True))
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=options)
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], str(path))
        except Exception as error:  # The loader raises errors of many kinds for a damaged folder.
            self.close()
            found = from_tensorflow(error) if isinstance(error, tf.errors.OpError) else None
            code, message = (found.code, found.message) if found else (grpc.StatusCode.INTERNAL, first_line(error))
            raise ServingError(code, f"Cannot load {path}: {message}") from error
        self.signatures = {name: sig for name, sig in meta_graph.signature_def.items() if name != INIT_OP}

    def run(self, signature_name, inputs, outputs=()):
        """Runs a signature.

        Args:
            signature_name: its name; empty is serving_default.
            inputs: dict of arrays by name, of the signature's dtypes; strings are bytes in arrays of objects.
            outputs: names of the outputs to compute; empty means all.

        Returns:
            dict of arrays by name of output.

        Raises:
            ServingError: names, types or shapes are not the signature's, a limit is passed, or TensorFlow fails.
        """
        signature_name = signature_name or "serving_default"
        signature = self.signatures.get(signature_name)
        if signature is None:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.'
            )
        _check_inputs(signature, inputs)
        outputs = _check_outputs(signature, outputs)
        pixels = self._limits.check_inputs(inputs)
        call = self._callable(signature_name, outputs)
        try:
            with self._limits.decoding(pixels):
                values = call(*(inputs[name] for name in sorted(signature.inputs)))
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except UnicodeDecodeError as error:
            # TensorFlow's Python cannot raise an error whose text repeats an input that is no UTF-8.
            raise invalid(error.object.decode(errors="replace").splitlines()[0]) from error
        except ValueError as error:  # of a placeholder that takes fewer shapes than the signature says
            raise invalid(str(error).splitlines()[0]) from error
        return dict(zip(outputs, values, strict=True))

    def _callable(self, signature_name, outputs):
        key = signature_name, outputs
        with self._lock:
            if key not in self._callables:
                signature = self.signatures[signature_name]
                options = config_pb2.RunOptions(timeout_in_ms=1000 * self._limits.config.run_timeout_seconds)
                call = self._session.make_callable(
                    [signature.outputs[name].name for name in outputs],
                    feed_list=[signature.inputs[name].name for name in sorted(signature.inputs)],
                    accept_options=True,
                )
                self._callables[key] = functools.partial(call, options=options)
            return self._callables[key]

    def close(self):
        """Frees what the version holds; nothing may be running in it."""
        self._callables.clear()
        self._session.close()


def _check_inputs(signature, inputs):
    """Refuses inputs whose names, types or shapes are not the signature's, in TF Serving's words where it has some.

    TF Serving leaves the shapes to the graph, whose kernels may not expect what they then get.
    """
    if set(inputs) != set(signature.inputs):
        extra, missing = set(inputs) - set(signature.inputs), set(signature.inputs) - set(inputs)
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} "
            f"len({{{','.join(sorted(inputs))}}}) != len({{{','.join(sorted(signature.inputs))}}}). "
            f"Sent extra: {{{','.join(sorted(extra))}}}. Missing but required: {{{','.join(sorted(missing))}}}."
        )
    for index, name in enumerate(sorted(inputs)):
        info, value = signature.inputs[name], inputs[name]
        expected = tf.dtypes.as_dtype(info.dtype)
        given = tf.string if value.dtype.kind in "OSU" else tf.dtypes.as_dtype(value.dtype)
        if given != expected:
            raise invalid(
                f"Expects arg[{index}] to be {_type_name(expected)} but {_type_name(given)} is provided (input {name})"
            )
        shape = [dim.size for dim in info.tensor_shape.dim]
        if not info.tensor_shape.unknown_rank and (
            len(shape) != value.ndim
            or any(size not in (-1, there) for size, there in zip(shape, value.shape, strict=True))
        ):
            wanted = ",".join("?" if size < 0 else str(size) for size in shape)
            raise invalid(f"Input {name} has shape [{','.join(map(str, value.shape))}]; expected [{wanted}]")


def _type_name(dtype):
    """Returns what TensorFlow's own errors call a type: float and double for float32 and float64."""
    return types_pb2.DataType.Name(dtype.as_datatype_enum).removeprefix("DT_").lower()


def _check_outputs(signature, outputs):
    known = ",".join(sorted(signature.outputs))
    seen = set()
    for name in outputs:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set {{{known}}}."
            )
        if name in seen:
            raise invalid(f"duplicate output tensor alias: {name}")
        seen.add(name)
    return tuple(sorted(seen or signature.outputs))


def as_strings(values):
    """Returns bytes as an array of objects, which is what sessions take strings in."""
    array = np.empty(len(values), object)
    array[:] = values
    return array
