"""The ops of a SavedModel's graph, and which of them another TensorFlow program would lack."""

import collections

import tensorflow as tf

from karpa_tf.errors import UserError

PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
"""Ops that call back into the Python process that has built the graph: no other program can run them."""

COMPILED = "_XlaMustCompile"
"""Attribute of what `tf.function(jit_compile=True)` makes; TensorFlow Serving is built without XLA and refuses it."""

NAMED = 5
"""Custom ops that an error names."""


def count_ops(meta_graph):
    """Returns a `Counter` of the ops in the graph and in all of its functions; calls of functions are counted too."""
    return collections.Counter(node.op for _, node in _nodes(meta_graph))


def is_core(op):
    """Returns whether every TensorFlow program has an op.

    `tf.raw_ops` is made when TensorFlow is built, so it lists nothing that a library such as tensorflow-text has added
    to this process. It also leaves out what XLA's bridge and TPUs bring: not every build of a server has it.
    """
    return hasattr(tf.raw_ops, op) and op not in PYTHON


def custom_ops(meta_graph):
    """Returns what another TensorFlow program may lack: reasons by the op's name, in words that follow it."""
    functions = {function.signature.name for function in meta_graph.graph_def.library.function}
    found = {}
    for place, node in _nodes(meta_graph):
        if node.op in PYTHON:
            found.setdefault(node.op, f"calls Python ({place})")
        elif not is_core(node.op) and node.op not in functions:
            found.setdefault(node.op, f"is not of TensorFlow's core ({place})")
        if COMPILED in node.attr and node.attr[COMPILED].b:
            found.setdefault(COMPILED, f"asks for XLA: a function with jit_compile=True ({place})")
    for function in meta_graph.graph_def.library.function:
        if COMPILED in function.attr and function.attr[COMPILED].b:
            found.setdefault(COMPILED, f"asks for XLA: jit_compile=True (function {function.signature.name})")
    return found


def require_core(meta_graph, allow_custom_ops=False):
    """Returns the names of a graph's custom ops; raises `UserError` where there are any and they are not allowed."""
    found = custom_ops(meta_graph)
    if found and not allow_custom_ops:
        said = [f"{op} {reason}" for op, reason in found.items()]
        rest = [f"and {len(said) - NAMED} more"] if len(said) > NAMED else []
        raise UserError(
            f"Other TensorFlow programs cannot run this graph: {'; '.join([*said[:NAMED], *rest])}. Build the model of "
            "TensorFlow's own ops, or export it all the same by --allow-custom-ops."
        )
    return sorted(found)


def _nodes(meta_graph):
    """Yields every node of the graph, and of its functions, behind the words that say where it is."""
    for node in meta_graph.graph_def.node:
        yield f"node {node.name}", node
    for function in meta_graph.graph_def.library.function:
        for node in function.node_def:
            yield f"function {function.signature.name}, node {node.name}", node
