"""Converters to other formats than SavedModel, by name; each is imported when it is needed."""

import importlib

CONVERTERS = {"tflite": "karpa_tf.export.tflite", "onnx": "karpa_tf.export.onnx"}


def find_converters(formats):
    """Returns the converters of some formats, for `versions.write`.

    Args:
        formats: list of names; those that are not in `CONVERTERS` are ignored.

    Raises:
        UserError: a package of a format is not installed.
    """
    modules = [importlib.import_module(module) for name, module in CONVERTERS.items() if name in formats]
    for module in modules:
        module.require_converter()
    return [module.write for module in modules]
