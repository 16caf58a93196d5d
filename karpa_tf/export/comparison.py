"""Whether a SavedModel answers what its model answers."""

import numpy as np
import tensorflow as tf

TOLERANCE = 1e-5
"""Absolute and relative, of floats."""


def compare(export, signatures):
    """Asks every signature of a loaded version and the function it was made of the same, and compares the answers.

    Args:
        export: an `Export`; its `examples` and `edge_cases` are asked.
        signatures: the loaded signatures by name.

    Raises:
        RuntimeError: an answer differs: floats by more than 1e-5, whole numbers by more than `export.tolerances`
            allows, strings at all.
    """
    for name, function in export.functions.items():
        for request in [*export.examples[name], *export.edge_cases.get(name, [])]:
            tensors = {key: tf.constant(value) for key, value in request.items()}
            expected, answer = function(**tensors), signatures[name](**tensors)
            if expected.keys() != answer.keys():
                raise RuntimeError(f"The signature {name} gives {sorted(answer)}, its model {sorted(expected)}.")
            for key, value in expected.items():
                problem = difference(value.numpy(), answer[key].numpy(), export.tolerances.get(name, 0))
                if problem:
                    raise RuntimeError(f"The signature {name} answers another {key} than its model: {problem}.")


def difference(expected, answer, tolerance=0):
    """Returns what is different between two arrays, in words, or None.

    Args:
        expected: array of floats, whole numbers, booleans or bytes.
        answer: the array to be compared with it.
        tolerance: how far whole numbers may be off.
    """
    if (expected.dtype, expected.shape) != (answer.dtype, answer.shape):
        return f"{answer.dtype} {answer.shape}, not {expected.dtype} {expected.shape}"
    if expected.dtype.kind in "fc":
        if np.allclose(answer, expected, TOLERANCE, TOLERANCE, equal_nan=True):
            return None
        return f"floats are off by {np.abs(answer - expected).max():.2g}"
    if expected.dtype.kind in "iu":
        off = np.abs(answer.astype(np.int64) - expected.astype(np.int64))
        return f"whole numbers are off by {off.max()}" if (off > tolerance).any() else None
    unequal = int((answer != expected).sum())
    return f"{unequal} of {expected.size} values differ" if unequal else None
