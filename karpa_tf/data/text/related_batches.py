"""Batches of pairs of token ids that belong together, each padded to its longest text."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset, shuffle_indices
from karpa_tf.data.text.padding import pad
from karpa_tf.data.text.related import number_equal

MIN_CROP, MAX_CROP = 0.2, 0.8
"""Length of a crop, as a fraction of the text."""


def make_pair_batches(rows, pair_rows, names, batch_size, seed, first_step=0, meter=None):
    """Returns an endless dataset of (inputs, groups), for `fit` with `steps_per_epoch`.

    Args:
        rows: n arrays of token ids, of at least `batch_size` texts.
        pair_rows: those of the texts that belong to them; or None: two random crops of each text.
        names: a tuple of two sequences of n strings: the texts, to tell equal ones.
        batch_size: global batch size.
        seed: int, for the order and the crops.
        first_step: step of the first batch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.

    Returns:
        A `tf.data.Dataset` of pairs: a dict of `token_ids`, int32 (batch_size, longest), `padding_mask`, bool
        (batch_size, longest), and `pair_token_ids` and `pair_padding_mask` of the second texts; and int32
        (batch_size, 2), the same number for texts that are equal.
    """
    groups = _number(names)

    def make_batch(step):
        indices, _ = shuffle_indices(step, len(rows), batch_size, seed)
        if pair_rows is None:
            return _make_crops(rows, indices, step, seed), tf.gather(groups, indices)
        return _make_inputs(rows, pair_rows, indices), tf.gather(groups, indices)

    return make_endless_dataset(make_batch, first_step, meter)


def make_evaluation_pair_batches(rows, pair_rows, names, batch_size):
    """Returns a dataset of (inputs, groups, weights) with every pair once, in order, for `evaluate`.

    Inputs and groups are as in `make_pair_batches`. `weights` are float32 (batch_size,): 1, or 0 for copies of the
    first pair that fill up the last batch, whose groups are -1.
    """
    groups = _number(names)

    def make_batch(step):
        indices = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        is_real = indices < len(rows)
        indices = tf.where(is_real, indices, 0)
        own = tf.where(is_real[:, None], tf.gather(groups, indices), -1)
        return _make_inputs(rows, pair_rows, indices), own, tf.cast(is_real, tf.float32)

    steps = -(-len(rows) // batch_size)
    return disable_autotune(tf.data.Dataset.range(steps).map(make_batch, 2, deterministic=True).prefetch(2))


def crop(ids, rng):
    """Returns a random contiguous part of the tokens of a text between its [CLS] and [SEP], with these at its ends."""
    count = len(ids) - 2
    if count < 2:
        return ids
    length = max(1, round(count * rng.uniform(MIN_CROP, MAX_CROP)))
    start = 1 + rng.integers(0, count - length + 1)
    return np.concatenate([ids[:1], ids[start : start + length], ids[-1:]])


def _number(names):
    first, second = names
    return tf.constant(np.stack([number_equal(first), number_equal(second)], axis=1))


def _make_inputs(rows, pair_rows, indices):
    def read(indices):
        return pad([rows[index] for index in indices]), pad([pair_rows[index] for index in indices])

    return _name(tf.numpy_function(read, [indices], [tf.int32] * 2, stateful=False), indices)


def _make_crops(rows, indices, step, seed):
    def read(indices, step):
        rng = np.random.default_rng([seed, step])
        first, second = zip(*((crop(rows[index], rng), crop(rows[index], rng)) for index in indices), strict=True)
        return pad(first), pad(second)

    return _name(tf.numpy_function(read, [indices, step], [tf.int32] * 2, stateful=False), indices)


def _name(arrays, indices):
    ids, pair_ids = (tf.ensure_shape(array, (indices.shape[0], None)) for array in arrays)
    inputs = {"token_ids": ids, "padding_mask": ids != 0}
    return inputs | {"pair_token_ids": pair_ids, "pair_padding_mask": pair_ids != 0}
