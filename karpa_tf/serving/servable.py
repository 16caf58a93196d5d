"""A loaded version of a model: a session, and a callable for every signature."""

import functools
from pathlib import Path

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from karpa_tf.errors import first_line
from karpa_tf.keras_compat import make_session_callable
from karpa_tf.serving.errors import ServingError, from_tensorflow, invalid
from karpa_tf.serving.images import count_pixels
from karpa_tf.serving.tensors import as_array, from_proto, to_proto

WARM_UP = "assets.extra/tf_serving_warmup_requests"
INIT_OP = "__saved_model_init_op"
"""A signature that TensorFlow adds for its own use; its output cannot be fetched."""


class Servable:
    """A version that answers requests, from any number of threads. All methods raise `ServingError`.

    As in TF Serving, TensorFlow's loader for sessions reads it and requests are fed by the names of tensors, so that
    the graph accepts or refuses a shape. There is one exception: oneDNN's convolutions end the process if their input
    has too few dimensions (TensorFlow 2.21), so that inputs of graphs with convolutions need those of the signature.

    Attributes:
        name, version, path: name of the model, number and folder of the version.
        signatures: dict of `SignatureDef` by name.
    """

    def __init__(self, name, path, timeout_ms=30_000, max_pixels=50 * 10**6):
        """Loads the version in the folder `path`, whose name is its number."""
        self.name, self.path, self.version = name, Path(path), int(Path(path).name)
        self._max_pixels = max_pixels
        self._options = tf.compat.v1.RunOptions(timeout_in_ms=timeout_ms)
        self._callable = functools.lru_cache(maxsize=64)(self._make_callable)
        gpu_options = tf.compat.v1.GPUOptions(allow_growth=True)
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=tf.compat.v1.ConfigProto(gpu_options=gpu_options))
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], str(path))
        except Exception as error:  # The loader raises errors of many classes for a damaged folder.
            self.close()
            raise ServingError(grpc.StatusCode.INTERNAL, f"{path} cannot be loaded: {first_line(error)}") from error
        self.signatures = {name: sig for name, sig in meta_graph.signature_def.items() if name != INIT_OP}
        functions = (function.node_def for function in meta_graph.graph_def.library.function)
        nodes = (node for nodes in (meta_graph.graph_def.node, *functions) for node in nodes)
        self._has_convolutions = any("Conv" in node.op for node in nodes)

    def close(self):
        """Frees what the version holds; nothing may be running in it."""
        self._callable.cache_clear()
        self._session.close()

    def signature(self, name=""):
        """Returns the `SignatureDef` of a name; empty is serving_default."""
        name = name or "serving_default"
        if name not in self.signatures:
            raise invalid(f"Model {self.name!r} has no signature {name!r}; it has {sorted(self.signatures)}.")
        return self.signatures[name]

    def dtypes(self, signature_name, names):
        """Returns TensorFlow's number of the type of each input of a signature; `names` must be theirs."""
        infos = self.signature(signature_name).inputs
        if infos.keys() != set(names):
            raise invalid(f"Expected the inputs {sorted(infos)}, received {sorted(names)}.")
        return {name: infos[name].dtype for name in infos}

    def run(self, signature_name, inputs, outputs=()):
        """Returns the outputs of a signature that are named, or all, dict of arrays by name.

        `inputs` is a dict of arrays by name; strings are bytes in arrays of objects.
        """
        signature = self.signature(signature_name)
        if not signature.outputs.keys() >= set(outputs):
            raise invalid(f"Expected outputs of {sorted(signature.outputs)}, received {sorted(outputs)}.")
        for name, array in inputs.items():
            rank = len(signature.inputs[name].tensor_shape.dim)
            if self._has_convolutions and array.ndim < rank:
                raise invalid(f"Input {name!r} must have {rank} dimensions; received the shape {array.shape}.")
            pixels = sum(map(count_pixels, array.ravel())) if array.dtype == object else 0
            if pixels > self._max_pixels:
                limit = f"this server takes {self._max_pixels} at most (--max_image_megapixels)"
                raise invalid(f"The images have {pixels} pixels or more; {limit}.")
        names = tuple(sorted(set(outputs) or signature.outputs))
        call = self._callable(signature_name or "serving_default", names)
        try:
            values = call(*(inputs[name] for name in sorted(inputs)))
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except UnicodeDecodeError as error:  # of an error whose text repeats an input that is no UTF-8
            raise invalid(first_line(error.object.decode(errors="replace"))) from error
        return dict(zip(names, map(as_array, values), strict=True))

    def predict(self, request):
        """Returns the PredictResponse for a PredictRequest."""
        name = request.model_spec.signature_name or "serving_default"
        dtypes = self.dtypes(name, request.inputs)
        inputs = {key: from_proto(key, proto, dtypes[key]) for key, proto in request.inputs.items()}
        outputs = self.run(name, inputs, tuple(request.output_filter))
        spec = {"name": self.name, "signature_name": name, "version": {"value": self.version}}
        tensors = {key: to_proto(value) for key, value in outputs.items()}
        return predict_pb2.PredictResponse(model_spec=spec, outputs=tensors)

    def warm_up(self):
        """Replays the predict requests of the version's warm-up file, if it has one; returns their number."""
        path, number = self.path / WARM_UP, 0
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator() if path.is_file() else ():
                number += 1
                log = prediction_log_pb2.PredictionLog.FromString(record)
                if log.HasField("predict_log"):
                    self.predict(log.predict_log.request)
        except (ServingError, DecodeError, tf.errors.OpError) as error:
            raise invalid(f"Warm-up request {number} of {path} fails: {first_line(error)}") from error
        return number

    def _make_callable(self, signature_name, outputs):
        signature = self.signatures[signature_name]
        feeds = [signature.inputs[name].name for name in sorted(signature.inputs)]
        fetches = [signature.outputs[name].name for name in outputs]
        return make_session_callable(self._session, feeds, fetches, self._options)
