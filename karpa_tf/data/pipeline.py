"""Infinite datasets in which each batch depends only on its step, so that training can resume at any step."""

import os
import time

import numpy as np
import tensorflow as tf


class InputMeter:
    """Measures how long the consumer of a dataset waits for batches.

    Attributes:
        wait_seconds: total time between requests for a batch and their delivery.
    """

    def __init__(self):
        self.wait_seconds = 0.0

    def start(self):
        """Called by the dataset when a batch is requested."""
        self.start_time = time.perf_counter()
        return np.int64(0)

    def stop(self):
        """Called by the dataset when the requested batch is ready."""
        self.wait_seconds += time.perf_counter() - self.start_time
        return np.int64(0)


def shuffle_indices(step, count, batch_size, seed):
    """Returns the indices of the examples of a batch, int64 (batch_size,) in [0, count), and the epoch.

    Every epoch consists of the first `count // batch_size` complete batches of a permutation seeded by (`seed`, epoch).

    Args:
        step: int64 scalar, number of the batch since the start of the first epoch.
        count: number of examples.
        batch_size: global batch size.
        seed: int.
    """
    steps_per_epoch = count // batch_size
    epoch, position = step // steps_per_epoch, step % steps_per_epoch
    positions = position * batch_size + tf.range(batch_size, dtype=tf.int64)
    return shuffle_positions(positions, epoch, count, seed), epoch


def shuffle_positions(positions, epoch, count, seed):
    """Returns what is at some positions of the permutation of [0, count) that is seeded by (`seed`, epoch), int64."""
    seeds = tf.stack([epoch, tf.constant(seed, tf.int64)])
    return tf.random.experimental.index_shuffle(positions, seeds, count - 1)


def make_endless_dataset(make_batch, first_step=0, meter=None):
    """Returns an infinite dataset of `make_batch(step)` for the steps `first_step`, `first_step + 1`, ...

    Args:
        make_batch: function of TensorFlow ops that maps an int64 scalar, the step, to a batch.
        first_step: step of the first batch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.
    """
    dataset = tf.data.Dataset.counter(first_step).map(make_batch, num_parallel_calls=2, deterministic=True)
    dataset = dataset.prefetch(4)
    return disable_autotune(_measure(dataset, meter) if meter else dataset)


def _measure(dataset, meter):
    """Returns the same dataset, which starts and stops `meter` around every batch."""

    def stop(_, batch):
        with tf.control_dependencies([tf.numpy_function(meter.stop, [], np.int64)]):
            return tf.nest.map_structure(tf.identity, batch)

    # `zip` fetches from its first dataset before it fetches from the second.
    starts = tf.data.Dataset.counter().map(lambda _: tf.numpy_function(meter.start, [], np.int64))
    return tf.data.Dataset.zip(starts, dataset).map(stop)


def disable_autotune(dataset):
    """Returns the dataset with autotuning disabled and with automatic sharding by data.

    With several workers, every worker produces the global batches and uses its own slice of each.
    """
    options = tf.data.Options()
    # Autotuning delays the end of iterators by up to seconds; parallelism and prefetching are set explicitly.
    options.autotune.enabled = False
    # Without a thread pool of its own, blocking reads would occupy the threads that execute the training steps. As many
    # threads as cores decode images.
    options.threading.private_threadpool_size = max(4, os.cpu_count() or 1)
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
