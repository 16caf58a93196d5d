"""Stratified held-out splits and samples of labeled examples."""

import dataclasses
import hashlib

import numpy as np

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
"""Names of the files or folders of each split, in order of precedence."""


def hold_out(examples, fraction, salt):
    """Returns the remaining and the held-out examples, in their order, stratified by class if there are classes.

    Which examples are held out depends only on their names (on their indices, for examples without names) and `salt`.

    Args:
        examples: labeled `ImageSet` or `TextSet`, or `TaggedSet`.
        fraction: fraction of each class to hold out, in (0, 1), rounded to whole examples. At least one example of
            each class remains.
        salt: string that is hashed with the names; a different salt selects different examples.
    """
    names = examples.names or [str(index) for index in range(len(examples.labels))]
    hashes = [hashlib.sha256(f"{salt} {name}".encode(errors="surrogateescape")).digest() for name in names]
    is_held_out = np.zeros(len(names), bool)
    strata = examples.labels if len(examples.classes) else np.zeros(len(names))
    for label in np.unique(strata):
        members = sorted(np.flatnonzero(strata == label), key=hashes.__getitem__)
        is_held_out[members[: min(round(fraction * len(members)), max(len(members) - 1, 0))]] = True
    remaining = dataclasses.replace(examples.select(np.flatnonzero(~is_held_out)), skipped=examples.skipped)
    return remaining, examples.select(np.flatnonzero(is_held_out))


def hold_out_missing(splits, validation_fraction, test_fraction):
    """Returns a dict of `train`, and `validation` and `test` unless they are empty; what is missing is held out.

    Args:
        splits: dict of labeled examples, of `train` at least.
        validation_fraction: as for `hold_out`; 0 for no validation split if there is none.
        test_fraction: the same of the test split.
    """
    for split, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if split not in splits and fraction:
            train, held_out = hold_out(splits["train"], fraction, split)
            splits = splits | {"train": train, split: held_out}
    return {split: splits[split] for split in SPLIT_FOLDERS if split in splits and len(splits[split])}


def sample(examples, maximum, seed):
    """Returns the sorted indices of a random sample, int (n,), with at least one example per class that has any.

    Args:
        examples: labeled `ImageSet` or `TextSet`.
        maximum: number of examples up to which all are returned, and above which about so many are.
        seed: int.
    """
    count = len(examples.labels)
    if count <= maximum:
        return np.arange(count)
    order = np.random.default_rng(seed).permutation(count)
    first = order[np.unique(examples.labels[order], return_index=True)[1]] if examples.classes else []
    return np.union1d(first, order[:maximum]).astype(int)
