"""The ops of a SavedModel's graph, and which of them other TensorFlow programs may lack."""

import collections

import tensorflow as tf

from karpa_tf.errors import UserError

PYTHON_OPS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
"""Ops that call a Python function of the process that built the graph; no other program can run them."""

XLA_ATTRIBUTE = "_XlaMustCompile"
"""Attribute set by `tf.function(jit_compile=True)`; TensorFlow Serving is built without XLA and cannot run it."""

MAX_LISTED = 5
"""Maximum number of custom ops in an error message."""


def count_ops(meta_graph):
    """Returns a `Counter` of the ops in the graph and in all of its functions, including calls of functions."""
    return collections.Counter(node.op for _, node in _iterate_nodes(meta_graph))


def is_core(op):
    """Returns whether every TensorFlow program has the op of this name.

    `tf.raw_ops` is generated when TensorFlow is built. It does not list the ops of libraries that are loaded in this
    process, such as tensorflow-text, nor those for XLA and TPUs, which not every build of a server has.
    """
    return hasattr(tf.raw_ops, op) and op not in PYTHON_OPS


def find_custom_ops(meta_graph):
    """Returns ops and attributes that other TensorFlow programs may lack: by name, the reason, text that follows it."""
    functions = {function.signature.name for function in meta_graph.graph_def.library.function}
    reasons = {}
    for location, node in _iterate_nodes(meta_graph):
        if node.op in PYTHON_OPS:
            reasons.setdefault(node.op, f"calls Python ({location})")
        elif not is_core(node.op) and node.op not in functions:
            reasons.setdefault(node.op, f"is not a core op of TensorFlow ({location})")
        if XLA_ATTRIBUTE in node.attr and node.attr[XLA_ATTRIBUTE].b:
            reasons.setdefault(XLA_ATTRIBUTE, f"requires XLA: a function with jit_compile=True ({location})")
    for function in meta_graph.graph_def.library.function:
        if XLA_ATTRIBUTE in function.attr and function.attr[XLA_ATTRIBUTE].b:
            reasons.setdefault(XLA_ATTRIBUTE, f"requires XLA: jit_compile=True (function {function.signature.name})")
    return reasons


def require_core_ops(meta_graph, allow_custom_ops=False):
    """Returns the sorted names of a graph's custom ops; raises `UserError` if it has any and they are not allowed."""
    reasons = find_custom_ops(meta_graph)
    if reasons and not allow_custom_ops:
        listed = [f"{op} {reason}" for op, reason in list(reasons.items())[:MAX_LISTED]]
        if len(reasons) > MAX_LISTED:
            listed.append(f"and {len(reasons) - MAX_LISTED} more")
        raise UserError(
            f"Other TensorFlow programs cannot run this graph: {'; '.join(listed)}. Build the model from TensorFlow's "
            "own ops, or export it anyway with --allow-custom-ops."
        )
    return sorted(reasons)


def _iterate_nodes(meta_graph):
    """Yields (location, node) for every node of the graph and of its functions; the location is text."""
    for node in meta_graph.graph_def.node:
        yield f"node {node.name}", node
    for function in meta_graph.graph_def.library.function:
        for node in function.node_def:
            yield f"function {function.signature.name}, node {node.name}", node
