"""Texts longer than a model's sequences, as overlapping windows."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("karpa_tf")
class SplitWindows(layers.Layer):
    """Splits token ids into windows that overlap.

    Maps `token_ids`, int32 (batch, length), and `padding_mask`, bool (batch, length), to

    - `token_ids`, int32 (windows, window_length), with 0 after the end of a text; if all texts are shorter, the windows
      are so too;
    - `padding_mask`, bool (windows, window_length);
    - `is_new`, bool (windows, window_length), False for padding and for tokens that were in the window before;
    - `text_index`, int32 (windows,), the row from which a window is.

    Windows without new tokens are left out, so that short texts cost no more in a batch with a long one.

    Args:
        window_length: number of tokens in a window.
        overlap: number of tokens of a window that are in the one before, below `window_length`.
    """

    def __init__(self, window_length, overlap, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= overlap < window_length:
            raise ValueError(f"The overlap must be below the window length, {window_length}. Received: {overlap}.")
        self.window_length, self.overlap = window_length, overlap

    def call(self, token_ids, padding_mask):
        batch, length = tf.unstack(tf.shape(token_ids))
        stride = self.window_length - self.overlap
        count = tf.maximum((length - self.overlap + stride - 1) // stride, 1)
        window_length = tf.minimum(length, self.window_length)
        positions = tf.range(count)[:, None] * stride + tf.range(window_length)  # (count, window_length)
        end = positions[-1, -1] + 1

        def split(x):
            padded = tf.pad(x, [[0, 0], [0, tf.maximum(end - length, 0)]])
            return tf.gather(padded, positions, axis=1)  # (batch, count, window_length)

        padding_mask = split(padding_mask)
        is_new = padding_mask & ((tf.range(count)[:, None] == 0) | (tf.range(window_length) >= self.overlap))
        is_kept = tf.reduce_any(is_new, axis=-1)
        text_index = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(is_kept))
        return tuple(tf.boolean_mask(x, is_kept) for x in (split(token_ids), padding_mask, is_new, text_index))

    def compute_output_spec(self, token_ids, padding_mask):
        shapes = ("int32", (None, None)), ("bool", (None, None)), ("bool", (None, None)), ("int32", (None,))
        return tuple(keras.KerasTensor(shape, dtype) for dtype, shape in shapes)

    def get_config(self):
        return super().get_config() | {"window_length": self.window_length, "overlap": self.overlap}


@keras.saving.register_keras_serializable("karpa_tf")
class PoolWindows(layers.Layer):
    """Averages the features of each text over its tokens, in float32.

    Maps `features`, float (windows, window_length, hidden_dim), `is_new` and `text_index` of `SplitWindows`, and its
    input `token_ids`, (batch, length), to float32 (batch, hidden_dim).
    """

    def __init__(self, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)

    def call(self, features, is_new, text_index, token_ids):
        weights = tf.cast(is_new, tf.float32)
        batch = tf.shape(token_ids)[0]
        # Not by indexing with None, which LiteRT cannot convert for unknown shapes.
        sums = tf.reduce_sum(features * tf.expand_dims(weights, -1), axis=1)
        sums = tf.math.unsorted_segment_sum(sums, text_index, batch)
        counts = tf.math.unsorted_segment_sum(tf.reduce_sum(weights, axis=1), text_index, batch)
        return sums / tf.expand_dims(tf.maximum(counts, 1.0), -1)

    def compute_output_spec(self, features, is_new, text_index, token_ids):
        return keras.KerasTensor((token_ids.shape[0], features.shape[-1]), "float32")


@keras.saving.register_keras_serializable("karpa_tf")
class MergeWindows(layers.Layer):
    """Returns the features of every token of texts that `SplitWindows` has split.

    Maps `features`, float (windows, window_length, hidden_dim), the windows' `padding_mask` and `text_index` of
    `SplitWindows`, and its input `padding_mask`, (batch, length), to float (batch, length, hidden_dim), 0 for padding.

    Of tokens in two windows, those in the first half of the overlap are taken from the first window, and the others
    from the second one, so that every token has been seen with tokens on both sides.

    Args:
        overlap: that of `SplitWindows`.
    """

    def __init__(self, overlap, **kwargs):
        super().__init__(**kwargs)
        self.overlap = overlap

    def call(self, features, window_mask, text_index, padding_mask):
        column = tf.range(tf.shape(window_mask)[1])
        is_same_text = tf.equal(text_index[1:], text_index[:-1])
        follows, precedes = tf.pad(is_same_text, [[1, 0]]), tf.pad(is_same_text, [[0, 1]])
        first = tf.where(follows, self.overlap // 2, 0)
        end = tf.where(precedes, tf.size(column) - self.overlap + self.overlap // 2, tf.size(column))
        is_used = window_mask & (column >= tf.expand_dims(first, 1)) & (column < tf.expand_dims(end, 1))
        indices, shape = tf.where(padding_mask), tf.shape(padding_mask, out_type=tf.int64)
        shape = tf.concat([shape, [features.shape[-1]]], axis=0)
        return tf.scatter_nd(indices, tf.boolean_mask(features, is_used), shape)

    def compute_output_spec(self, features, window_mask, text_index, padding_mask):
        return keras.KerasTensor((*padding_mask.shape, features.shape[-1]), features.dtype)

    def get_config(self):
        return super().get_config() | {"overlap": self.overlap}
