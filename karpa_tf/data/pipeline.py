"""Endless datasets whose batches are a function of their number, so that any step can be the first."""

import time

import numpy as np
import tensorflow as tf


class InputMeter:
    """Adds up the seconds in `waited` for which a batch was asked for and not ready."""

    def __init__(self):
        self.waited = 0.0

    def ask(self):
        """Called by the pipeline when a batch is asked for."""
        self.since = time.perf_counter()
        return np.int64(0)

    def receive(self):
        """Called by the pipeline when that batch is there."""
        self.waited += time.perf_counter() - self.since
        return np.int64(0)


def shuffle_indices(step, count, batch_size, seed):
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


def make_endless_dataset(batch, first_step=0, meter=None):
    """Returns a dataset of what `batch` makes of each step, an int64 from `first_step` on.

    Args:
        batch: function of the step, of TensorFlow ops.
        first_step: number of the first batch.
        meter: `InputMeter` that is to measure how long batches are waited for, or None.
    """
    dataset = tf.data.Dataset.counter(first_step).map(batch, num_parallel_calls=2, deterministic=True)
    dataset = dataset.prefetch(4)
    return disable_autotune(_measured(dataset, meter) if meter else dataset)


def _measured(dataset, meter):
    """Returns the same dataset; whoever takes a batch from it has `meter` told before and after."""

    def received(_, parts):
        with tf.control_dependencies([tf.numpy_function(meter.receive, [], np.int64)]):
            return tf.nest.map_structure(tf.identity, parts)

    # Of a pair the first part is fetched first.
    asked = tf.data.Dataset.counter().map(lambda _: tf.numpy_function(meter.ask, [], np.int64))
    return tf.data.Dataset.zip(asked, dataset).map(received)


def disable_autotune(dataset):
    """Returns the dataset with its own numbers of calls and batches ahead, and none that TensorFlow chooses.

    Of several workers each takes its rows of every batch, which all of them make whole.
    """
    options = tf.data.Options()
    # Autotuning stalls the end of iterators by up to seconds; the numbers above are given by hand.
    options.autotune.enabled = False
    # Reading that blocks would hold the threads that the steps run on.
    options.threading.private_threadpool_size = 4
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
