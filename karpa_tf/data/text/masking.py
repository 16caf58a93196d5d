"""Dynamic masking of tokens for masked language modeling (Devlin et al. 2018, section 3.1)."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from karpa_tf.data.text.vocabulary import CONTINUATION, MASK, SPECIAL

MAX_SPAN_LENGTH, SPAN_END_PROBABILITY = 10, 0.2
"""Span lengths are geometric with this probability, clipped to the maximum (Joshi et al. 2019, section 3.1)."""


@dataclasses.dataclass(frozen=True)
class Masking:
    """How to mask tokens of a vocabulary in rows of a fixed length."""

    units: str
    """"tokens", "words" or "spans": words and spans are masked completely or not at all."""

    rate: float
    """Fraction of the tokens to mask, in (0, 1)."""

    num_predictions: int
    """Maximum number of masked tokens per row, for which there are predictions."""

    mask_id: int

    vocabulary_size: int
    """Number of tokens, of which the first `len(SPECIAL)` are special."""

    is_continuation: np.ndarray
    """bool (vocabulary_size,): whether a token continues a word."""


def make_masking(vocabulary, length, rate=0.15, units="tokens"):
    """Returns the `Masking` for rows of `length` ids of a `Vocabulary`."""
    is_continuation = np.array([token.startswith(CONTINUATION) for token in vocabulary.tokens])
    mask_id = vocabulary.tokens.index(MASK)
    return Masking(units, rate, max(1, math.ceil(rate * length)), mask_id, len(vocabulary), is_continuation)


def mask_tokens(token_ids, masking, seed):
    """Selects tokens to predict and masks them.

    Of the n tokens of a row that are not special, n times the rate are selected, rounded up or down at random so that
    the rate is correct on average, and at most `masking.num_predictions`. Of these, 80 % become [MASK], 10 % a random
    token that is not special, and 10 % stay the same. With words and spans, which are never masked partially, slightly
    fewer tokens are selected.

    Args:
        token_ids: int32 (batch, length).
        masking: a `Masking`.
        seed: int (2,); the same seed and ids give the same mask.

    Returns:
        A dict:
            token_ids: int32 (batch, length), with the selected tokens masked.
            mask_positions: int32 (batch, num_predictions), positions of the selected tokens in their row.
            mask_ids: int32 (batch, num_predictions), ids of the selected tokens before masking.
            mask_weights: float32 (batch, num_predictions), 1, or 0 for padding, whose position and id are 0.
    """
    seeds = tf.random.split(seed, 4)
    is_maskable = token_ids >= len(SPECIAL)
    units = _ASSIGN_UNITS[masking.units](token_ids, masking, seeds[0])
    batch, length = tf.shape(token_ids)[0], tf.shape(token_ids)[1]
    # All tokens of a unit have the same random score; special tokens come last.
    scores = tf.random.stateless_uniform((batch, length), seeds[1])
    scores = tf.where(is_maskable, tf.gather(scores, units, batch_dims=1), -1.0)

    counts = masking.rate * tf.reduce_sum(tf.cast(is_maskable, tf.float32), axis=1)
    counts = tf.cast(tf.floor(counts + tf.random.stateless_uniform((batch,), seeds[2])), tf.int32)
    counts = tf.minimum(counts, masking.num_predictions)[:, None]
    best, positions = tf.math.top_k(scores, masking.num_predictions + 1)
    rank = tf.range(masking.num_predictions)[None]
    # A unit that does not fit completely has the score of the first token that is not selected.
    first_excluded = tf.gather(best, counts, batch_dims=1)
    is_masked = (rank < counts) & (best[:, :-1] > first_excluded) & (best[:, :-1] >= 0)
    positions = tf.where(is_masked, positions[:, :-1], 0)
    originals = tf.where(is_masked, tf.gather(token_ids, positions, batch_dims=1), 0)

    draw = tf.random.stateless_uniform(tf.shape(positions), seeds[3])
    random_ids = tf.random.stateless_uniform(
        tf.shape(positions), seeds[3] + 1, minval=len(SPECIAL), maxval=masking.vocabulary_size, dtype=tf.int32
    )
    inputs = tf.where(draw < 0.8, masking.mask_id, tf.where(draw < 0.9, random_ids, originals))
    rows = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(positions))
    indices = tf.boolean_mask(tf.stack([rows, positions], axis=-1), is_masked)
    return {
        "token_ids": tf.tensor_scatter_nd_update(token_ids, indices, tf.boolean_mask(inputs, is_masked)),
        "mask_positions": positions,
        "mask_ids": originals,
        "mask_weights": tf.cast(is_masked, tf.float32),
    }


def _assign_tokens(token_ids, masking, seed):
    """Returns the position of each token in its row, int32 (batch, length)."""
    return tf.broadcast_to(tf.range(tf.shape(token_ids)[1])[None], tf.shape(token_ids))


def _assign_words(token_ids, masking, seed):
    """Returns the index of each token's word in its row, int32 (batch, length)."""
    is_start = ~tf.gather(tf.constant(masking.is_continuation), token_ids)
    return tf.maximum(tf.cumsum(tf.cast(is_start, tf.int32), axis=1) - 1, 0)


def _assign_spans(token_ids, masking, seed):
    """Returns the index of each token's span, of random length, in its row, int32 (batch, length)."""
    shape = tf.shape(token_ids)
    lengths = 1 + tf.floor(
        tf.math.log(1 - tf.random.stateless_uniform(shape, seed)) / math.log(1 - SPAN_END_PROBABILITY)
    )
    ends = tf.cumsum(tf.cast(tf.minimum(lengths, MAX_SPAN_LENGTH), tf.int32), axis=1)
    positions = tf.broadcast_to(tf.range(shape[1])[None], shape)
    return tf.searchsorted(ends, positions, side="right")


_ASSIGN_UNITS = {"tokens": _assign_tokens, "words": _assign_words, "spans": _assign_spans}
