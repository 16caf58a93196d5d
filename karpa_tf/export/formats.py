"""Converters to formats other than SavedModel."""

import importlib

CONVERTERS = {"tflite": "karpa_tf.export.tflite", "onnx": "karpa_tf.export.onnx"}
"""Modules by name of the format; imported when they are needed."""


def find_converters(formats):
    """Returns the converters of formats, for `versions.write`.

    Args:
        formats: list of names; names that are not in `CONVERTERS` are ignored.

    Raises:
        UserError: a package that a format requires is not installed.
    """
    modules = [importlib.import_module(module) for name, module in CONVERTERS.items() if name in formats]
    for module in modules:
        module.require_converter()
    return [module.write for module in modules]
