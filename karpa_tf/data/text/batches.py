"""Rows of tokens, with some hidden to be guessed, as batches that are a function of their number."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset, shuffle_indices
from karpa_tf.data.text.masking import mask_tokens
from karpa_tf.data.text.vocabulary import CLS, PAD, SEP, SPECIAL

_CLS, _SEP, _PAD = (SPECIAL.index(name) for name in (CLS, SEP, PAD))

HELD_OUT_SEED = 0x6D61736B
"""Decides the masks of held-out text: the same for every run and epoch."""


def count_rows(tokens, length):
    """Returns how many full rows of `length` there are in `Tokens`: [CLS], `length` - 2 tokens, [SEP]."""
    return len(tokens) // (length - 2)


def masked_batches(tokens, length, masking, batch_size, seed, first_step=0, meter=None):
    """Returns an endless dataset of masked rows, for `fit` with `steps_per_epoch`.

    The documents are cut into rows where they stand, one after the other with [SEP] between them, so that no row has
    padding. Order and masks are a function of the seed and the step; an epoch takes `count_rows` // `batch_size`
    batches, and no row twice.

    Args:
        tokens: `Tokens`, of at least `batch_size` rows.
        length: ids in a row, [CLS] and [SEP] included.
        masking: a `Masking` for this length.
        batch_size: over all replicas.
        seed: int.
        first_step: number of the first batch, counted from the start of the first epoch.
        meter: `InputMeter` that is to measure how long batches are waited for, or None.

    Returns:
        A `tf.data.Dataset` of dicts: what `mask_tokens` returns, `padding_mask`, bool (batch_size, length), and
        `segment_ids`, int32 (batch_size, length), all 0.
    """
    count = count_rows(tokens, length)

    def batch(step):
        places, _ = shuffle_indices(step, count, batch_size, seed)
        rows = _between_ends(_rows(tokens, places, length - 2))
        return _masked(rows, masking, tf.stack([tf.constant(seed, tf.int64), step]))

    return make_endless_dataset(batch, first_step, meter)


def pair_batches(tokens, length, masking, batch_size, seed, first_step=0, meter=None):
    """Returns what `masked_batches` does, with every row in two segments, and whether the second follows the first.

    A row is cut at a place in its middle half where a document goes on; in half of the rows, if there is more than one,
    the rest is replaced by the end of another row (Devlin et al. 2018, section 3.1; there the segments are whole
    documents' sentences, and rows are filled with padding). `segment_ids` are 0 in the first segment and 1 in the
    second; `is_next`, float32 (batch_size,), is 1 where the second is what follows, else 0; `row_weights`, float32
    (batch_size,), are 1.
    """
    count = len(tokens) // (length - 3)

    def batch(step):
        places, _ = shuffle_indices(step, count, batch_size, seed)
        seeds = tf.random.split(tf.stack([tf.constant(seed, tf.int64), step]), 2)
        rows = _pairs(tokens, places, count, length, seeds[0])
        return _masked(rows, masking, seeds[1]) | {"row_weights": tf.ones(batch_size)}

    return make_endless_dataset(batch, first_step, meter)


def held_out_batches(tokens, length, masking, batch_size):
    """Returns a dataset of all rows of `Tokens`, in order, masked always alike, for `evaluate`.

    The last row is filled up with padding, and the last batch with rows that hide nothing, so that all batches have one
    shape. Elements are as in `masked_batches`.
    """
    count = -(-len(tokens) // (length - 2))

    def batch(step):
        rows = _between_ends(_rows_in_order(tokens, step, batch_size, length - 2))
        return _masked(rows, masking, tf.stack([tf.constant(HELD_OUT_SEED, tf.int64), step]))

    return _finite(batch, count, batch_size)


def held_out_pairs(tokens, length, masking, batch_size):
    """Returns what `held_out_batches` does, in pairs as in `pair_batches`; what fills no row is left out.

    `row_weights`, float32 (batch_size,), is 0 for rows that only fill the last batch up.
    """
    count = len(tokens) // (length - 3)

    def batch(step):
        places = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        seeds = tf.random.split(tf.stack([tf.constant(HELD_OUT_SEED, tf.int64), step]), 2)
        rows = _masked(_pairs(tokens, tf.minimum(places, count - 1), count, length, seeds[0]), masking, seeds[1])
        weights = tf.cast(places < count, tf.float32)
        return rows | {"row_weights": weights, "mask_weights": rows["mask_weights"] * weights[:, None]}

    return _finite(batch, count, batch_size)


def _finite(batch, count, batch_size):
    return disable_autotune(
        tf.data.Dataset.range(-(-count // batch_size)).map(batch, 2, deterministic=True).prefetch(2)
    )


def _masked(row, masking, seed):
    row = dict(row)
    return row | mask_tokens(row.pop("token_ids"), masking, seed)


def _between_ends(ids):
    """Returns rows of ids between [CLS] and [SEP]; [PAD] at the end of ids stays padding, behind the [SEP]."""
    batch = ids.shape[0]
    used = tf.reduce_sum(tf.cast(ids != _PAD, tf.int32), axis=1, keepdims=True)
    rows = tf.concat([tf.fill([batch, 1], _CLS), ids, tf.fill([batch, 1], _PAD)], axis=1)
    places = tf.range(rows.shape[1])[None]
    rows = tf.where(places == used + 1, _SEP, rows)
    return {"token_ids": rows, "padding_mask": places <= used + 1, "segment_ids": tf.zeros_like(rows)}


def _pairs(tokens, places, count, length, seed):
    seeds = tf.random.split(seed, 3)
    batch, size = places.shape[0], length - 3
    first = _rows(tokens, places, size)
    shifts = tf.random.stateless_uniform((batch,), seeds[0], minval=1, maxval=max(count, 2), dtype=tf.int64)
    other = _rows(tokens, (places + shifts) % count, size)
    # The cut is where no document ends.
    inside = (first[:, :-1] != _SEP) & (first[:, 1:] != _SEP)
    middle = tf.range(size - 1)
    inside &= (middle >= size // 4) & (middle < size - size // 4)
    scores = tf.random.stateless_uniform((batch, size - 1), seeds[1]) + tf.cast(inside, tf.float32)
    cut = 1 + tf.argmax(scores, axis=1, output_type=tf.int32)[:, None]
    # A corpus of a single row has no other row.
    is_next = (tf.random.stateless_uniform((batch,), seeds[2]) < 0.5) | (count == 1)
    second = tf.where(is_next[:, None], first, other)
    place = tf.broadcast_to(tf.range(length)[None], (batch, length))
    ids = tf.where(
        place <= cut,
        tf.gather(first, tf.clip_by_value(place - 1, 0, size - 1), batch_dims=1),
        tf.gather(second, tf.clip_by_value(place - 2, 0, size - 1), batch_dims=1),
    )
    ids = tf.where(place == 0, _CLS, tf.where((place == cut + 1) | (place == length - 1), _SEP, ids))
    return {
        "token_ids": ids,
        "padding_mask": tf.ones_like(ids, tf.bool),
        "segment_ids": tf.cast(place > cut + 1, tf.int32),
        "is_next": tf.cast(is_next, tf.float32),
    }


def _rows(tokens, places, size):
    """Returns the ids of rows, int32 (batch, size)."""
    columns = np.arange(size)

    def read(places):
        return tokens.ids[places[:, None] * size + columns].astype(np.int32)

    return tf.ensure_shape(tf.numpy_function(read, [places], np.int32, stateful=False), (places.shape[0], size))


def _rows_in_order(tokens, step, batch_size, size):
    """Returns the ids of a step's rows, int32 (batch_size, size), [PAD] behind the end."""

    def read(step):
        ids = np.full(batch_size * size, _PAD, np.int32)
        start = int(step) * batch_size * size
        found = tokens.ids[start : start + batch_size * size]
        ids[: len(found)] = found
        return ids.reshape(batch_size, size)

    return tf.ensure_shape(tf.numpy_function(read, [step], np.int32, stateful=False), (batch_size, size))
