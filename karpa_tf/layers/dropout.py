"""Dropout with one random byte per element; Keras 3.15 draws four."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("karpa_tf")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` with a quarter of its random numbers, which take most of its time.

    It has the arguments, names and seed generator state of Keras 3.15's layer, but draws other masks, and a different
    mask on each replica. An element is dropped if its byte is below 256 * rate; this threshold is rounded up or down at
    random, once per call, so that each element is dropped with a probability of exactly `rate`. The other elements are
    divided by 1 - rate. With a `noise_shape`, and where the size of the last axis is unknown, Keras' implementation is
    used.
    """

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        if self.noise_shape is not None or self.rate > 254 / 256 or not inputs.shape.rank or not inputs.shape[-1]:
            return super().call(inputs, training=training)
        rounding = tf.cast(_draw_uint32((), self._next_seed()), tf.float32) / 2**32
        threshold = tf.cast(256 * self.rate + rounding, tf.uint8)
        mask = _draw_uint8_like(inputs, self._next_seed()) >= threshold
        return inputs * (tf.cast(mask, inputs.dtype) * tf.cast(1 / (1 - self.rate), inputs.dtype))

    def _next_seed(self):
        """Returns an int64 (2,) seed that is unique to this call and this replica."""
        seed = self.seed_generator.next()
        replica = tf.distribute.get_replica_context()
        if replica is None:  # Keras infers output shapes outside of the replicas.
            return seed
        # The state of the seed generator is the same on all replicas.
        return seed + [tf.cast(replica.replica_id_in_sync_group, seed.dtype) * 2**32, 0]


@keras.saving.register_keras_serializable("karpa_tf")
class StochasticDepth(Dropout):
    """Drops all of an example with a probability `rate`, in training, and divides the others by 1 - rate.

    Before a residual is added, it skips the block that computed it (Huang et al. 2016). It maps float (batch, ...) to
    the same shape.
    """

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        shape = tf.concat([tf.shape(inputs)[:1], tf.ones(inputs.shape.rank - 1, tf.int32)], axis=0)
        is_kept = _draw_uint32(shape, self._next_seed()) >= tf.cast(self.rate * 2**32, tf.uint32)
        return inputs * tf.cast(is_kept, inputs.dtype) / tf.cast(1 - self.rate, inputs.dtype)


def _draw_uint8_like(x, seed):
    """Returns random uint8 of the shape of `x`, whose last axis must have a known size."""
    size = x.shape[-1]
    shape = tf.concat([tf.shape(x)[:-1], [-(-size // 4)]], axis=0)
    values = tf.bitcast(_draw_uint32(shape, seed), tf.uint8)
    values = tf.reshape(values, tf.concat([shape[:-1], [4 * shape[-1]]], axis=0))
    return tf.ensure_shape(values[..., :size] if size % 4 else values, x.shape)


def _draw_uint32(shape, seed):
    """Returns random uint32, which are the same with and without XLA; random floats are not."""
    return tf.random.stateless_uniform(shape, seed, None, None, tf.uint32)
