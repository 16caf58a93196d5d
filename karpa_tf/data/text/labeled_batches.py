"""Batches of labeled texts of similar length as token ids, padded to the longest text of each batch."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset
from karpa_tf.data.text.padding import pad
from karpa_tf.data.text.similar_lengths import shuffle_similar_lengths
from karpa_tf.data.text.vocabulary import CLS, SEP, SPECIAL


def make_token_rows(texts, vocabulary, length, pairs=()):
    """Returns the token ids of texts between [CLS] and [SEP], and the number of truncated texts.

    Args:
        texts: sequence of n strings.
        vocabulary: a `Vocabulary`.
        length: maximum number of ids per text, including [CLS] and [SEP].
        pairs: sequence of n strings: second texts, which follow after the first [SEP] and end with another; or none.

    Returns:
        A list of n arrays, int32 (at most `length`,), and an int.
    """
    tokenizer = vocabulary.make_tokenizer()
    first, second = (
        [encoding.ids for encoding in tokenizer.encode_batch_fast(list(values), add_special_tokens=False)]
        for values in (texts, pairs)
    )
    cls_id, sep_id = (SPECIAL.index(name) for name in (CLS, SEP))
    if not pairs:
        rows = [np.array([cls_id, *ids[: length - 2], sep_id], np.int32) for ids in first]
        return rows, sum(len(ids) > length - 2 for ids in first)
    rows, truncated = [], 0
    for ids, other in zip(first, second, strict=True):
        kept = truncate_pair(len(ids), len(other), length - 3)
        rows.append(np.array([cls_id, *ids[: kept[0]], sep_id, *other[: kept[1]], sep_id], np.int32))
        truncated += kept != (len(ids), len(other))
    return rows, truncated


def truncate_pair(first, second, length):
    """Returns how many tokens of two texts are kept, so that they are at most `length` together.

    The longer one is truncated first. The first text has the odd token if both are cut to half.
    """
    kept = min(first, max(length - second, (length + 1) // 2))
    return kept, min(second, length - kept)


def make_labeled_text_batches(rows, labels, classes, batch_size, seed, first_step=0, meter=None):
    """Returns an endless dataset of (inputs, targets), for `fit` with `steps_per_epoch`.

    Args:
        rows: result of `make_token_rows`, of at least `batch_size` texts.
        labels: int (n,), or float (n,) if they are numbers.
        classes: number of classes, or 0 if labels are numbers.
        batch_size: global batch size.
        seed: int, for the order.
        first_step: step of the first batch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.

    Returns:
        A `tf.data.Dataset` of pairs: a dict of `token_ids`, int32 (batch_size, longest), and `padding_mask`,
        bool (batch_size, longest); and one-hot targets, float32 (batch_size, classes), or numbers (batch_size, 1).
    """
    lengths = np.array([len(row) for row in rows])

    def make_batch(step):
        indices = shuffle_similar_lengths(step, lengths, batch_size, seed)
        return _make_inputs(rows, indices, batch_size), _make_targets(labels, indices, classes)

    return make_endless_dataset(make_batch, first_step, meter)


def make_evaluation_text_batches(rows, labels, classes, batch_size):
    """Returns a dataset of (inputs, targets, weights) with every text once, in order, for `evaluate`.

    Inputs and targets are as in `make_labeled_text_batches`. `weights` are float32 (batch_size,): 1, or 0 for copies of
    the first text that fill up the last batch.
    """

    def make_batch(step):
        indices = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        weights = tf.cast(indices < len(rows), tf.float32)
        indices = tf.where(indices < len(rows), indices, 0)
        return _make_inputs(rows, indices, batch_size), _make_targets(labels, indices, classes), weights

    return disable_autotune(
        tf.data.Dataset.range(-(-len(rows) // batch_size)).map(make_batch, 2, deterministic=True).prefetch(2)
    )


def _make_targets(labels, indices, classes):
    selected = tf.gather(tf.constant(labels), indices)
    return tf.one_hot(selected, classes) if classes else tf.cast(selected, tf.float32)[:, None]


def _make_inputs(rows, indices, batch_size):
    def read(indices):
        return pad([rows[index] for index in indices])

    ids = tf.ensure_shape(tf.numpy_function(read, [indices], np.int32, stateful=False), (batch_size, None))
    return {"token_ids": ids, "padding_mask": ids != 0}
