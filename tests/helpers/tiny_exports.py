"""Exports of a single function, for tests of writing versions."""

import dataclasses

import numpy as np
import tensorflow as tf

from karpa_tf.export.versions import Export


def make_export(function, **changes):
    """Returns the `Export` of a function from `any`, float32 (batch,), to a dict of tensors."""
    function = tf.function(function, input_signature=[tf.TensorSpec((None,), tf.float32, name="any")])
    requests = [{"any": np.zeros(1, np.float32)}]
    export = Export("constant", {"serving_default": function}, {"serving_default": requests})
    return dataclasses.replace(export, **changes)


def make_constant_export(number):
    """Returns the `Export` of a function whose output is always the same number."""
    return make_export(lambda any: {"number": tf.constant(number)})
