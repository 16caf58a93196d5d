"""The order of texts in training, in which those of a batch are of similar length, so that little padding is needed."""

import tensorflow as tf

from karpa_tf.data.pipeline import shuffle_positions

POOL = 32
"""Number of batches that are formed together. With more, the longest texts of an epoch would meet again and again."""


LONG = 512
"""Length from which on texts count as equally long: a batch of nothing but the longest would need the most memory."""


def shuffle_similar_lengths(step, lengths, batch_size, seed):
    """Returns the indices of the texts of a batch, int64 (batch_size,) in [0, n).

    Every epoch has the order of `shuffle_indices`. `POOL` batches of it at a time are sorted by length, cut into
    batches again, and these are shuffled; of texts of equal length the order is random.

    Args:
        step: int64 scalar, number of the batch since the start of the first epoch.
        lengths: int (n,), lengths of all texts.
        batch_size: global batch size.
        seed: int.
    """
    count = len(lengths)
    steps_per_epoch = count // batch_size
    epoch, position = step // steps_per_epoch, step % steps_per_epoch
    first = position - position % POOL
    batches = tf.minimum(first + POOL, steps_per_epoch) - first
    texts = tf.range(first * batch_size, (first + batches) * batch_size)
    indices = shuffle_positions(texts, epoch, count, seed)
    order = tf.argsort(tf.gather(tf.minimum(lengths, LONG), indices), stable=True)
    # Of the seeds TensorFlow uses a few bits only, so that those of neighboring pools must differ in the lowest.
    pool = epoch * -(-steps_per_epoch // POOL) + first // POOL
    batch = shuffle_positions(position - first, ~pool, batches, seed)
    return tf.ensure_shape(tf.gather(indices, order[batch * batch_size : (batch + 1) * batch_size]), (batch_size,))
