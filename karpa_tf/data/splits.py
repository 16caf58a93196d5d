"""Held-out splits of labeled examples."""

import dataclasses
import hashlib

import numpy as np

FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}


"""Names of a folder that hold a split; the first that exists is taken."""


def hold_out(examples, share, purpose):
    """Returns two sets of the same kind: the larger part, and `share` of every class, rounded, in the order of the set.

    Args:
        examples: labeled `ImageSet` or `TextSet`.
        share: in (0, 1); a class keeps at least one image in the larger part.
        purpose: any word; another word takes other examples.
    """
    names = examples.keys or [str(place) for place in range(len(examples.labels))]
    ranks = [hashlib.sha256(f"{purpose} {name}".encode()).digest() for name in names]
    taken = np.zeros(len(names), bool)
    for label in range(len(examples.classes)):
        members = sorted(np.flatnonzero(examples.labels == label), key=ranks.__getitem__)
        taken[members[: min(round(share * len(members)), max(len(members) - 1, 0))]] = True
    rest = dataclasses.replace(examples.subset(np.flatnonzero(~taken)), skipped=examples.skipped)
    return rest, examples.subset(np.flatnonzero(taken))
