"""Hides tokens that a model is to guess (Devlin et al. 2018, section 3.1), anew for every step."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from karpa_tf.data.text.vocabulary import CONTINUATION, MASK, SPECIAL

LONGEST_SPAN, SPAN_STOP = 10, 0.2
"""Spans end after each token with probability 0.2, and at ten tokens (Joshi et al. 2019, section 3.1)."""


@dataclasses.dataclass(frozen=True)
class Masking:
    """What is needed to hide tokens of one vocabulary in rows of one length."""

    units: str
    """What is hidden at once: "tokens", "words" or "spans"."""

    rate: float
    """Share of the tokens to hide, in (0, 1)."""

    num_predictions: int
    """Tokens hidden in a row at most: the fixed number of positions that are predicted."""

    mask_id: int
    """Id of [MASK]."""

    size: int
    """Number of tokens in the vocabulary; the first `len(SPECIAL)` are special."""

    continues: np.ndarray
    """bool (size,): which tokens are pieces that continue a word."""


def make_masking(vocabulary, length, rate=0.15, units="tokens"):
    """Returns the `Masking` for rows of `length` ids of a `Vocabulary`."""
    continues = np.array([token.startswith(CONTINUATION) for token in vocabulary.tokens])
    mask_id = vocabulary.tokens.index(MASK)
    return Masking(units, rate, max(1, math.ceil(rate * length)), mask_id, len(vocabulary), continues)


def mask_tokens(token_ids, masking, seed):
    """Chooses tokens to predict and hides them.

    Of the n tokens of a row that are not special, n times the rate are chosen, rounded up or down by chance, so that
    the rate is met on the average, and at most `masking.num_predictions`. Of the chosen, 80 % become [MASK], 10 % a token
    drawn from all that are not special, 10 % stay. Words and spans are chosen whole or not at all, which leaves a row a
    little below its number.

    Args:
        token_ids: int32 (batch, length).
        masking: a `Masking`.
        seed: int (2,); the same seed and ids give the same mask.

    Returns:
        dict: `token_ids`, int32 (batch, length), what is left to see; `mask_positions`, int32 (batch, predictions), and
        `mask_ids`, int32 (batch, predictions), what was hidden there; `mask_weights`, float32 (batch, predictions),
        1, or 0 for places that only fill up the row (position 0, id 0).
    """
    seeds = tf.random.split(seed, 4)
    hidden = token_ids >= len(SPECIAL)
    units = _UNITS[masking.units](token_ids, masking, seeds[0])
    batch, length = tf.shape(token_ids)[0], tf.shape(token_ids)[1]
    # Every unit draws a score, and all its tokens have it; special tokens come last.
    scores = tf.random.stateless_uniform((batch, length), seeds[1])
    scores = tf.where(hidden, tf.gather(scores, units, batch_dims=1), -1.0)

    wanted = masking.rate * tf.reduce_sum(tf.cast(hidden, tf.float32), axis=1)
    wanted = tf.cast(tf.floor(wanted + tf.random.stateless_uniform((batch,), seeds[2])), tf.int32)
    wanted = tf.minimum(wanted, masking.num_predictions)[:, None]
    best, positions = tf.math.top_k(scores, masking.num_predictions + 1)
    rank = tf.range(masking.num_predictions)[None]
    # A unit that the number would cut in two has the score of the first token left out.
    first_left_out = tf.gather(best, wanted, batch_dims=1)
    chosen = (rank < wanted) & (best[:, :-1] > first_left_out) & (best[:, :-1] >= 0)
    positions = tf.where(chosen, positions[:, :-1], 0)
    originals = tf.where(chosen, tf.gather(token_ids, positions, batch_dims=1), 0)

    kind = tf.random.stateless_uniform(tf.shape(positions), seeds[3])
    anything = tf.random.stateless_uniform(
        tf.shape(positions), seeds[3] + 1, minval=len(SPECIAL), maxval=masking.size, dtype=tf.int32
    )
    shown = tf.where(kind < 0.8, masking.mask_id, tf.where(kind < 0.9, anything, originals))
    rows = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(positions))
    places = tf.boolean_mask(tf.stack([rows, positions], axis=-1), chosen)
    return {
        "token_ids": tf.tensor_scatter_nd_update(token_ids, places, tf.boolean_mask(shown, chosen)),
        "mask_positions": positions,
        "mask_ids": originals,
        "mask_weights": tf.cast(chosen, tf.float32),
    }


def _tokens(token_ids, masking, seed):
    """Returns the number of each token's unit in its row, int32 (batch, length): its own place."""
    return tf.broadcast_to(tf.range(tf.shape(token_ids)[1])[None], tf.shape(token_ids))


def _words(token_ids, masking, seed):
    """Returns the number of each token's word: that of the words that have begun so far."""
    begins = ~tf.gather(tf.constant(masking.continues), token_ids)
    return tf.maximum(tf.cumsum(tf.cast(begins, tf.int32), axis=1) - 1, 0)


def _spans(token_ids, masking, seed):
    """Returns the number of each token's span; the row is cut into spans of random length at every place alike."""
    shape = tf.shape(token_ids)
    lengths = 1 + tf.floor(tf.math.log(1 - tf.random.stateless_uniform(shape, seed)) / math.log(1 - SPAN_STOP))
    ends = tf.cumsum(tf.cast(tf.minimum(lengths, LONGEST_SPAN), tf.int32), axis=1)
    places = tf.broadcast_to(tf.range(shape[1])[None], shape)
    return tf.searchsorted(ends, places, image_size="right")


_UNITS = {"tokens": _tokens, "words": _words, "spans": _spans}
