"""Reads the files of a SavedModel without loading its weights."""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from karpa_tf.errors import UserError, first_line

SAVED_MODEL = "saved_model.pb"
VARIABLES = "variables"
ASSETS = "assets"
EXTRA = "assets.extra"

INIT_OP = "__saved_model_init_op"
"""An entry that TensorFlow adds to the signatures although it is none."""


def list_versions(base):
    """Returns the published version numbers in ascending order."""
    base = Path(base)
    names = [path.name for path in base.iterdir()] if base.is_dir() else []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def read_meta_graph(folder):
    """Returns the `MetaGraphDef` that servers load: that with the tag `serve`, or the first if none has it.

    Raises:
        UserError: the folder has no SavedModel, or it is damaged.
    """
    file = Path(folder) / SAVED_MODEL
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(file.read_bytes())
    except OSError as error:
        raise UserError(f"{folder} holds no SavedModel: {file.name} cannot be read ({error.strerror}).") from error
    except Exception as error:  # Each implementation of protobuf has its own class of DecodeError.
        raise UserError(f"{file} is damaged: {first_line(error)}.") from error
    graphs = saved_model.meta_graphs
    if not graphs:
        raise UserError(f"{file} is damaged: it contains no graph.")
    return next((graph for graph in graphs if "serve" in graph.meta_info_def.tags), graphs[0])


def describe_signatures(meta_graph):
    """Returns the signatures by name: dicts of `inputs` and `outputs`, whose tensors have a `dtype` and a `shape`.

    A shape is a list in which None stands for any size, or None if the number of dimensions is unknown.
    """
    return {
        name: {
            kind: {key: _describe_tensor(info) for key, info in sorted(getattr(signature, kind).items())}
            for kind in ("inputs", "outputs")
        }
        for name, signature in sorted(meta_graph.signature_def.items())
        if name != INIT_OP
    }


def _describe_tensor(info):
    shape = tf.TensorShape(info.tensor_shape)
    return {"dtype": tf.dtypes.as_dtype(info.dtype).name, "shape": None if shape.rank is None else shape.as_list()}


def count_weights(folder):
    """Returns the number of weights of a SavedModel; raises `UserError` if the index of its variables is damaged."""
    prefix = Path(folder) / VARIABLES / VARIABLES
    if not prefix.with_name(f"{VARIABLES}.index").exists():
        return 0
    try:
        reader = tf.train.load_checkpoint(str(prefix))
    except tf.errors.OpError as error:
        raise UserError(f"{prefix}.index is damaged: {first_line(error)}") from error
    dtypes = reader.get_variable_to_dtype_map()
    shapes = reader.get_variable_to_shape_map()
    return sum(
        tf.TensorShape(shape).num_elements()
        for name, shape in shapes.items()
        if dtypes[name] != tf.string and not name.startswith("save_counter")
    )
