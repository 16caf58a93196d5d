"""Dropout by random bytes: Keras 3 draws four for each element."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("karpa_tf")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` for a quarter of its random numbers, which are most of its cost.

    Same arguments, names and random states as Keras 3.15's; the masks are others, and each replica's are its own. An
    element is dropped if its byte is below 256 times the rate, a threshold that is rounded up or down at random, once
    per call, so that every element is dropped with a probability of exactly the rate; what is kept is divided by
    1 - rate. With a `noise_shape`, or where the last axis has no known length, Keras' own way is taken.
    """

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        if self.noise_shape is not None or self.rate > 254 / 256 or not inputs.shape.rank or not inputs.shape[-1]:
            return super().call(inputs, training=training)
        rounding = tf.cast(_random_words((), self._next_seed()), tf.float32) / 2**32
        threshold = tf.cast(256 * self.rate + rounding, tf.uint8)
        kept = _random_bytes(inputs, self._next_seed()) >= threshold
        return inputs * (tf.cast(kept, inputs.dtype) * tf.cast(1 / (1 - self.rate), inputs.dtype))

    def _next_seed(self):
        """Returns an int64 (2,) that no other call gets, and no other replica, whose state is the same."""
        seed = self.seed_generator.next()
        replica = tf.distribute.get_replica_context()
        if replica is None:  # The shapes of a model are found outside of the replicas.
            return seed
        return seed + [tf.cast(replica.replica_id_in_sync_group, seed.dtype) * 2**32, 0]


def _random_bytes(like, seed):
    """Returns uint8 of the shape of a tensor whose last axis is known."""
    last = like.shape[-1]
    shape = tf.concat([tf.shape(like)[:-1], [-(-last // 4)]], axis=0)
    found = tf.bitcast(_random_words(shape, seed), tf.uint8)
    found = tf.reshape(found, tf.concat([shape[:-1], [4 * shape[-1]]], axis=0))
    return tf.ensure_shape(found[..., :last] if last % 4 else found, like.shape)


def _random_words(shape, seed):
    """Returns uint32, the same ones with XLA and without, which floats are not."""
    return tf.random.stateless_uniform(shape, seed, None, None, tf.uint32)
