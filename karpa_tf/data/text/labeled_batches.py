"""Texts with a class each as batches of token ids, padded to the longest of each."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset, shuffle_indices
from karpa_tf.data.text.vocabulary import CLS, SEP, SPECIAL


def token_rows(texts, vocabulary, length):
    """Returns the ids of texts between [CLS] and [SEP], a list of int32 (at most `length`,), and how many were cut."""
    ends = [[SPECIAL.index(name)] for name in (CLS, SEP)]
    pieces = [found.ids for found in vocabulary.tokenizer().encode_batch_fast(list(texts), add_special_tokens=False)]
    rows = [np.array(ends[0] + ids[: length - 2] + ends[1], np.int32) for ids in pieces]
    return rows, sum(len(ids) > length - 2 for ids in pieces)


def labeled_text_batches(rows, labels, classes, batch_size, seed, first_step=0, meter=None):
    """Returns an endless dataset of (inputs, targets), for `fit` with `steps_per_epoch`.

    Args:
        rows: what `token_rows` returned, at least `batch_size`.
        labels: int (n,).
        classes: number of classes.
        batch_size: over all replicas.
        seed: int, decides the order.
        first_step: number of the first batch, counted from the start of the first epoch.
        meter: `InputMeter` that is to measure how long batches are waited for, or None.

    Returns:
        A `tf.data.Dataset` of dicts of `token_ids`, int32 (batch_size, longest), `padding_mask`, bool (batch_size,
        longest), and `segment_ids`, int32 (batch_size, longest), all 0; with float32 targets (batch_size, classes).
    """

    def batch(step):
        places, _ = shuffle_indices(step, len(rows), batch_size, seed)
        return _inputs(rows, places, batch_size), tf.one_hot(tf.gather(tf.constant(labels), places), classes)

    return make_endless_dataset(batch, first_step, meter)


def evaluation_text_batches(rows, labels, classes, batch_size):
    """Returns a dataset of (inputs, targets, weights) that holds every text once, in order, for `evaluate`.

    The last batch is filled up with copies of the first text whose weight is 0. Elements are as in
    `labeled_text_batches`; `weights` are float32 (batch_size,), 1 or 0.
    """

    def batch(step):
        places = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        weights = tf.cast(places < len(rows), tf.float32)
        places = tf.where(places < len(rows), places, 0)
        targets = tf.one_hot(tf.gather(tf.constant(labels), places), classes)
        return _inputs(rows, places, batch_size), targets, weights

    return disable_autotune(
        tf.data.Dataset.range(-(-len(rows) // batch_size)).map(batch, 2, deterministic=True).prefetch(2)
    )


def _inputs(rows, places, batch_size):
    def padded(places):
        found = [rows[place] for place in places]
        ids = np.zeros((len(found), max(map(len, found))), np.int32)
        for row, known in zip(ids, found, strict=True):
            row[: len(known)] = known
        return ids

    ids = tf.ensure_shape(tf.numpy_function(padded, [places], np.int32, stateful=False), (batch_size, None))
    return {"token_ids": ids, "padding_mask": ids != 0, "segment_ids": tf.zeros_like(ids)}
