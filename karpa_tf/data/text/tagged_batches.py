"""Batches of texts of similar length as token ids, with a tag for every word, padded to the longest text of each."""

import dataclasses

import numpy as np
import tensorflow as tf

from karpa_tf.data.pipeline import disable_autotune, make_endless_dataset
from karpa_tf.data.text.padding import pad
from karpa_tf.data.text.similar_lengths import shuffle_similar_lengths
from karpa_tf.data.text.tags import tag_words
from karpa_tf.data.text.tokenizer import WordPiece
from karpa_tf.system.console import track

CHUNK_SIZE = 1000
"""Number of texts that are tokenized at a time."""


@dataclasses.dataclass(frozen=True)
class TaggedRows:
    """Tokenized texts; every field but the counts is a list of n int32 arrays."""

    token_ids: list
    """Ids of tokens, (tokens,), [CLS] and [SEP] among them."""

    positions: list
    """Index of the first token of every word, (words,)."""

    starts: list
    """Index of the first character of every word in its text, (words,)."""

    ends: list
    """Index after the last character of every word, (words,)."""

    tags: list
    """Tag of every word, (words,)."""

    truncated: int = 0
    """Number of truncated texts."""

    within_words: int = 0
    """Number of spans that begin or end within a word, which no tags can tell."""


def make_tagged_rows(tagged_set, vocabulary, length):
    """Returns the `TaggedRows` of a `TaggedSet`.

    Args:
        tagged_set: the texts and their spans.
        vocabulary: a `Vocabulary`.
        length: maximum number of ids per text, including [CLS] and [SEP].
    """
    tokenizer, rows = WordPiece(vocabulary), TaggedRows([], [], [], [], [])
    signature = [tf.TensorSpec((None,), tf.string)]
    pack = tf.function(lambda texts: tokenizer.pack_words(texts, length), input_signature=signature)
    # With one more token than fits, a text whose last word is cut within itself is told from one that just fits.
    count_tokens = tf.function(
        lambda texts: tf.shape(tokenizer.pack(texts, length + 1)[0])[1], input_signature=signature
    )
    truncated = within_words = 0
    chunks = range(0, len(tagged_set), CHUNK_SIZE)
    for chunk in track(chunks, "Tokenizing", total=len(chunks)):
        texts = tagged_set.texts[chunk : chunk + CHUNK_SIZE]
        token_ids, padding_mask, *words = pack(tf.constant(texts))
        rows.token_ids.extend(_split(tf.ragged.boolean_mask(token_ids, padding_mask)))
        for field, values in zip((rows.positions, rows.starts, rows.ends), words, strict=True):
            field.extend(_split(values))
        for row in range(chunk, chunk + len(texts)):
            starts, ends, spans = rows.starts[row], rows.ends[row], tagged_set.spans[row]
            rows.tags.append(np.array(tag_words(starts, ends, spans, tagged_set.classes), np.int32))
            is_full = len(rows.token_ids[row]) == length
            is_truncated = is_full and int(count_tokens(tf.constant([tagged_set.texts[row]]))) > length
            truncated += is_truncated
            first_letters, last_letters = set(starts.tolist()), set(ends.tolist())
            reached = [span for span in spans if not is_truncated or span.end <= ends[-1]]
            within_words += sum(span.start not in first_letters or span.end not in last_letters for span in reached)
    return dataclasses.replace(rows, truncated=truncated, within_words=within_words)


def make_tagged_batches(rows, tags, batch_size, seed, first_step=0, meter=None):
    """Returns an endless dataset of (inputs, targets, weights), for `fit` with `steps_per_epoch`.

    Args:
        rows: `TaggedRows` of at least `batch_size` texts.
        tags: number of tags.
        batch_size: global batch size.
        seed: int, for the order.
        first_step: step of the first batch.
        meter: `InputMeter` that measures the time spent waiting for batches, or None.

    Returns:
        A `tf.data.Dataset` of triples: a dict of `token_ids`, int32 (batch_size, longest), `padding_mask`, bool
        (batch_size, longest), and `word_positions`, int32 (batch_size, words), the index of the first token of every
        word; one-hot targets, float32 (batch_size, words, tags); and weights, float32 (batch_size, words), 0 for
        padding.
    """
    lengths = np.array([len(ids) for ids in rows.token_ids])

    def make_batch(step):
        indices = shuffle_similar_lengths(step, lengths, batch_size, seed)
        return _make_batch(rows, indices, tf.ones(batch_size), tags)

    return make_endless_dataset(make_batch, first_step, meter)


def make_evaluation_tagged_batches(rows, tags, batch_size):
    """Returns a dataset of the triples of `make_tagged_batches` with every text once, in order, for `evaluate`.

    Copies of the first text fill up the last batch, with weights of 0.
    """

    def make_batch(step):
        indices = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        is_real = indices < len(rows.tags)
        return _make_batch(rows, tf.where(is_real, indices, 0), tf.cast(is_real, tf.float32), tags)

    steps = -(-len(rows.tags) // batch_size)
    return disable_autotune(tf.data.Dataset.range(steps).map(make_batch, 2, deterministic=True).prefetch(2))


def _make_batch(rows, indices, text_weights, tags):
    def read(indices):
        fields = (rows.token_ids, rows.positions, rows.tags)
        counts = np.array([len(rows.tags[index]) for index in indices], np.int32)
        return *(pad([field[index] for index in indices]) for field in fields), counts

    batch_size = indices.shape[0]
    token_ids, positions, words, counts = tf.numpy_function(read, [indices], [tf.int32] * 4, stateful=False)
    token_ids, positions, words = (tf.ensure_shape(x, (batch_size, None)) for x in (token_ids, positions, words))
    is_word = tf.range(tf.shape(words)[1]) < tf.ensure_shape(counts, (batch_size,))[:, None]
    inputs = {"token_ids": token_ids, "padding_mask": token_ids != 0, "word_positions": positions}
    return inputs, tf.one_hot(words, tags), tf.cast(is_word, tf.float32) * text_weights[:, None]


def _split(ragged):
    """Returns the rows of a ragged tensor as a list of int32 arrays."""
    return np.split(ragged.values.numpy().astype(np.int32), ragged.row_splits.numpy()[1:-1])
