"""Comparison of the outputs of a SavedModel with those of its model."""

import numpy as np
import tensorflow as tf

TOLERANCE = 1e-5
"""Absolute and relative tolerance for floats."""


def compare(export, signatures):
    """Compares the outputs of the signatures of a loaded version with those of the functions they were exported from.

    Args:
        export: an `Export`, with the inputs in `examples` and `edge_cases`.
        signatures: loaded signatures by name.

    Raises:
        RuntimeError: an output differs: floats by more than 1e-5, integers by more than `export.tolerances`, or
            strings in any way.
    """
    for name, function in export.functions.items():
        for request in [*export.examples[name], *export.edge_cases.get(name, [])]:
            tensors = {key: tf.constant(value) for key, value in request.items()}
            expected, outputs = function(**tensors), signatures[name](**tensors)
            if expected.keys() != outputs.keys():
                raise RuntimeError(
                    f"The outputs of the signature {name} are {sorted(outputs)}, but those of its model are "
                    f"{sorted(expected)}."
                )
            for key, value in expected.items():
                problem = describe_difference(value.numpy(), outputs[key].numpy(), export.tolerances.get(name, 0))
                if problem:
                    raise RuntimeError(
                        f"The output {key} of the signature {name} differs from that of its model: {problem}."
                    )


def describe_difference(expected, received, tolerance=0):
    """Returns the difference between two arrays as text, or None if they are equal within the tolerance.

    Args:
        expected: array of floats, integers, booleans or bytes.
        received: array to compare with it.
        tolerance: maximum difference of integers; for floats it is `TOLERANCE`.
    """
    if (expected.dtype, expected.shape) != (received.dtype, received.shape):
        return f"{received.dtype} {received.shape}, not {expected.dtype} {expected.shape}"
    if expected.dtype.kind in "fc":
        if np.allclose(received, expected, TOLERANCE, TOLERANCE, equal_nan=True):
            return None
        return f"floats differ by up to {np.abs(received - expected).max():.2g}"
    if expected.dtype.kind in "iu":
        difference = np.abs(received.astype(np.int64) - expected.astype(np.int64))
        return f"integers differ by up to {difference.max()}" if (difference > tolerance).any() else None
    unequal = int((received != expected).sum())
    return f"{unequal} of {expected.size} values differ" if unequal else None
