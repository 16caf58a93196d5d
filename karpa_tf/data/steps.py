"""Endless datasets whose batches are a function of their number, so that any step can be the first."""

import numpy as np
import tensorflow as tf


class InputMeter:
    """Counts the batches that are ready, to tell whether a step had to wait for one."""

    def __init__(self):
        self.ready = 0

    def count(self):
        """Called by the pipeline for each batch that it finished."""
        self.ready += 1
        return np.int64(self.ready)


def shuffled_indices(step, count, batch_size, seed):
    """Returns the places, int64 (batch_size,), of a step's examples among `count`, and its epoch.

    Batch k of epoch e is the k-th of the `count // batch_size` whole batches of a permutation seeded by (`seed`, e).
    """
    steps_per_epoch = count // batch_size
    epoch, position = step // steps_per_epoch, step % steps_per_epoch
    indices = tf.random.experimental.index_shuffle(
        position * batch_size + tf.range(batch_size, dtype=tf.int64),
        seed=tf.stack([epoch, tf.constant(seed, tf.int64)]),
        max_index=count - 1,
    )
    return indices, epoch


def endless(batch, first_step=0, meter=None):
    """Returns a dataset of what `batch` makes of each step, an int64 from `first_step` on.

    Args:
        batch: function of the step, of TensorFlow ops.
        first_step: number of the first batch.
        meter: `InputMeter` that is to count the batches that are ready, or None.
    """
    dataset = tf.data.Dataset.counter(first_step).map(batch, num_parallel_calls=2, deterministic=True)
    if meter:

        def counted(*parts):
            with tf.control_dependencies([tf.numpy_function(meter.count, [], np.int64)]):
                parts = tf.nest.map_structure(tf.identity, parts)
            return parts if len(parts) > 1 else parts[0]

        dataset = dataset.map(counted)
    return untuned(dataset.prefetch(4))


def untuned(dataset):
    """Returns the dataset with its own numbers of calls and batches ahead, and none that TensorFlow chooses."""
    options = tf.data.Options()
    # Autotuning stalls the end of iterators by up to seconds; the numbers above are given by hand.
    options.autotune.enabled = False
    return dataset.with_options(options)
