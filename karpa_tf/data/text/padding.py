"""Arrays of different lengths as one."""

import numpy as np


def pad(arrays):
    """Returns int32 (n, longest) of n int arrays, padded with 0."""
    padded = np.zeros((len(arrays), max(map(len, arrays))), np.int32)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
