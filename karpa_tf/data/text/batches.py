"""Batches of masked rows of tokens; every batch is a function of the seed and its step."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset, shuffle_indices
from karpa_tf.data.text.masking import mask_tokens
from karpa_tf.data.text.vocabulary import CLS, PAD, SEP, SPECIAL

_CLS, _SEP, _PAD = (SPECIAL.index(name) for name in (CLS, SEP, PAD))

HELD_OUT_SEED = 0x6D61736B
"""Seed of the masks of held-out text, which are the same in every epoch, and for all runs with the same vocabulary and
length of sequences."""

MASKED_TOGETHER = 32
"""Rows of held-out text whose masks are drawn together, whatever the size of a batch."""


def count_rows(tokens, length):
    """Returns the number of complete rows of `length` ids in `Tokens`: [CLS], `length` - 2 tokens, [SEP]."""
    return len(tokens) // (length - 2)


def make_masked_batches(tokens, length, masking, batch_size, seed, first_step=0, meter=None):
    """Returns an endless dataset of masked rows, for `fit` with `steps_per_epoch`.

    Rows are consecutive tokens of the concatenated documents, separated by [SEP], and have no padding. Order and masks
    are a function of the seed and the step; an epoch has `count_rows` // `batch_size` batches, all of different rows.

    Args:
        tokens: `Tokens`, of at least `batch_size` rows.
        length: ids per row, including [CLS] and [SEP].
        masking: a `Masking` for this length.
        batch_size: global batch size.
        seed: int.
        first_step: step of the first batch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.

    Returns:
        A `tf.data.Dataset` of dicts: the result of `mask_tokens`, `padding_mask`, bool (batch_size, length), and
        `segment_ids`, int32 (batch_size, length), all 0.
    """
    count = count_rows(tokens, length)

    def make_batch(step):
        indices, _ = shuffle_indices(step, count, batch_size, seed)
        rows = _add_special_tokens(_read_rows(tokens, indices, length - 2))
        return _mask(rows, masking, tf.stack([tf.constant(seed, tf.int64), step]))

    return make_endless_dataset(make_batch, first_step, meter)


def make_pair_batches(tokens, length, masking, batch_size, seed, first_step=0, meter=None):
    """Returns an endless dataset of masked rows of two segments, for next-sentence prediction.

    A row is split at a position in its middle half, within a document; with probability 0.5 the second segment is
    replaced by the end of another row, unless there is none (Devlin et al. 2018, section 3.1, where segments are
    sentences, and rows are padded). Arguments are as for `make_masked_batches`.

    Returns:
        A `tf.data.Dataset` of the dicts of `make_masked_batches`, with `segment_ids` 0 or 1; `is_next`, float32
        (batch_size,), 1 if the second segment follows the first, otherwise 0; and `row_weights`, float32
        (batch_size,), all 1.
    """
    count = len(tokens) // (length - 3)

    def make_batch(step):
        indices, _ = shuffle_indices(step, count, batch_size, seed)
        seeds = tf.random.split(tf.stack([tf.constant(seed, tf.int64), step]), 2)
        rows = _make_pairs(tokens, indices, count, length, seeds[0])
        return _mask(rows, masking, seeds[1]) | {"row_weights": tf.ones(batch_size)}

    return make_endless_dataset(make_batch, first_step, meter)


def make_held_out_batches(tokens, length, masking, batch_size):
    """Returns a dataset of all rows of `Tokens`, in order, always with the same masks, for `evaluate`.

    The last row is padded, and the last batch is filled up with rows without masks. Elements are as in
    `make_masked_batches`.
    """
    count = -(-len(tokens) // (length - 2))

    def make_rows(group):
        rows = _add_special_tokens(_read_rows_in_order(tokens, group, MASKED_TOGETHER, length - 2))
        return _mask(rows, masking, tf.stack([tf.constant(HELD_OUT_SEED, tf.int64), group]))

    return _make_dataset(make_rows, count, batch_size)


def make_held_out_pair_batches(tokens, length, masking, batch_size):
    """Returns a dataset of all rows of two segments, in order, always the same, for `evaluate`.

    An incomplete last row is dropped. Elements are as in `make_pair_batches`; `row_weights` is 0 for rows that fill up
    the last batch.
    """
    count = len(tokens) // (length - 3)

    def make_rows(group):
        indices = group * MASKED_TOGETHER + tf.range(MASKED_TOGETHER, dtype=tf.int64)
        seeds = tf.random.split(tf.stack([tf.constant(HELD_OUT_SEED, tf.int64), group]), 2)
        rows = _mask(_make_pairs(tokens, tf.minimum(indices, count - 1), count, length, seeds[0]), masking, seeds[1])
        weights = tf.cast(indices < count, tf.float32)
        return rows | {"row_weights": weights, "mask_weights": rows["mask_weights"] * weights[:, None]}

    return _make_dataset(make_rows, count, batch_size)


def _make_dataset(make_rows, count, batch_size):
    """Returns a dataset of at least `count` rows in batches, the rows without masks after these included.

    Args:
        make_rows: function of the index of a group that returns its `MASKED_TOGETHER` rows.
        count: number of rows.
        batch_size: rows per batch.
    """
    batches = -(-count // batch_size)
    groups = tf.data.Dataset.range(-(-batches * batch_size // MASKED_TOGETHER))
    rows = groups.map(make_rows, 2, deterministic=True).rebatch(batch_size, drop_remainder=True).take(batches)
    return disable_autotune(rows.apply(tf.data.experimental.assert_cardinality(batches)).prefetch(2))


def _mask(rows, masking, seed):
    return rows | mask_tokens(rows["token_ids"], masking, seed)


def _add_special_tokens(ids):
    """Returns a dict of rows with [CLS] before their ids and [SEP] after them, followed by their padding."""
    batch_size = ids.shape[0]
    counts = tf.reduce_sum(tf.cast(ids != _PAD, tf.int32), axis=1, keepdims=True)
    rows = tf.concat([tf.fill([batch_size, 1], _CLS), ids, tf.fill([batch_size, 1], _PAD)], axis=1)
    positions = tf.range(rows.shape[1])[None]
    rows = tf.where(positions == counts + 1, _SEP, rows)
    return {"token_ids": rows, "padding_mask": positions <= counts + 1, "segment_ids": tf.zeros_like(rows)}


def _make_pairs(tokens, indices, count, length, seed):
    seeds = tf.random.split(seed, 3)
    batch_size, size = indices.shape[0], length - 3
    first = _read_rows(tokens, indices, size)
    shifts = tf.random.stateless_uniform((batch_size,), seeds[0], minval=1, maxval=max(count, 2), dtype=tf.int64)
    other = _read_rows(tokens, (indices + shifts) % count, size)
    # The best positions are in the middle half, without [SEP] beside them.
    is_inside = (first[:, :-1] != _SEP) & (first[:, 1:] != _SEP)
    middle = tf.range(size - 1)
    is_inside &= (middle >= size // 4) & (middle < size - size // 4)
    scores = tf.random.stateless_uniform((batch_size, size - 1), seeds[1]) + tf.cast(is_inside, tf.float32)
    split = 1 + tf.argmax(scores, axis=1, output_type=tf.int32)[:, None]
    # If there is a single row, there is no other to continue with.
    is_next = (tf.random.stateless_uniform((batch_size,), seeds[2]) < 0.5) | (count == 1)
    second = tf.where(is_next[:, None], first, other)
    position = tf.broadcast_to(tf.range(length)[None], (batch_size, length))
    ids = tf.where(
        position <= split,
        tf.gather(first, tf.clip_by_value(position - 1, 0, size - 1), batch_dims=1),
        tf.gather(second, tf.clip_by_value(position - 2, 0, size - 1), batch_dims=1),
    )
    ids = tf.where(position == 0, _CLS, tf.where((position == split + 1) | (position == length - 1), _SEP, ids))
    return {
        "token_ids": ids,
        "padding_mask": tf.ones_like(ids, tf.bool),
        "segment_ids": tf.cast(position > split + 1, tf.int32),
        "is_next": tf.cast(is_next, tf.float32),
    }


def _read_rows(tokens, indices, size):
    """Returns the ids of rows, int32 (batch, size)."""
    columns = np.arange(size)

    def read(indices):
        return tokens.ids[indices[:, None] * size + columns].astype(np.int32)

    return tf.ensure_shape(tf.numpy_function(read, [indices], np.int32, stateful=False), (indices.shape[0], size))


def _read_rows_in_order(tokens, step, batch_size, size):
    """Returns the ids of a step's rows, int32 (batch_size, size), padded with [PAD]."""

    def read(step):
        ids = np.full(batch_size * size, _PAD, np.int32)
        start = int(step) * batch_size * size
        row_ids = tokens.ids[start : start + batch_size * size]
        ids[: len(row_ids)] = row_ids
        return ids.reshape(batch_size, size)

    return tf.ensure_shape(tf.numpy_function(read, [step], np.int32, stateful=False), (batch_size, size))
