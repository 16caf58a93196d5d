"""Tags of words, which stand for spans of a text: O, and B and I for each type (Ramshaw and Marcus 1995, IOB2).

Tag 0 is O; of type t, tag 1 + 2t begins a span, and 2 + 2t continues it.
"""

import tensorflow as tf

ILLEGAL = -1e9
"""Log probability of a tag that cannot be."""


def count_tags(types):
    """Returns the number of tags for so many types of spans."""
    return 1 + 2 * types


def tag_words(starts, ends, spans, types):
    """Returns the tag of every word, a list: a word belongs to the first span that has a character of it.

    Args:
        starts: index of the first character of each word, in ascending order.
        ends: index after the last character of each word.
        spans: `Span` of the text, in order.
        types: names of the types.
    """
    tags, index = [], 0
    begun = -1
    for start, end in zip(starts, ends, strict=True):
        while index < len(spans) and spans[index].end <= start:
            index += 1
        if index == len(spans) or spans[index].start >= end:
            tags.append(0)
            continue
        tags.append(1 + 2 * types.index(spans[index].type) + (begun == index))
        begun = index
    return tags


def find_best_tags(log_probabilities, lengths):
    """Returns the most probable legal sequence of tags of each text, int32 (batch, words), by Viterbi's algorithm.

    A sequence is legal if I of a type follows only B or I of the same type.

    Args:
        log_probabilities: float32 (batch, words, tags), of each word by itself.
        lengths: int (batch,), numbers of words; the tags of the others are 0.
    """
    # One word more than there is: a scan needs one.
    log_probabilities = tf.transpose(tf.pad(log_probabilities, [[0, 0], [0, 1], [0, 0]]), [1, 0, 2])
    words, batch, tags = tf.unstack(tf.shape(log_probabilities))
    begins = tf.range(1, tags, 2)
    is_word = tf.range(words)[:, None] < tf.cast(lengths, tf.int32)  # (words, batch)
    before_first = tf.concat([tf.zeros((batch, 1)), tf.fill((batch, tags - 1), ILLEGAL)], axis=1)

    def interleave(outside, begin, inside):
        """Returns (batch, tags) from (batch, 1), (batch, types) and (batch, types)."""
        return tf.concat([outside, tf.reshape(tf.stack([begin, inside], axis=-1), (batch, tags - 1))], axis=1)

    def step(previous, word):
        (scores, _), (emission, is_real) = previous, word
        best = tf.argmax(scores, axis=1, output_type=tf.int32)[:, None]
        begun, continued = scores[:, 1::2], scores[:, 2::2]
        every_best = tf.broadcast_to(best, tf.shape(begun))
        sources = interleave(best, every_best, tf.where(begun >= continued, begins, begins + 1))
        is_real = tf.expand_dims(is_real, 1)
        following = tf.gather(scores, sources, batch_dims=1) + emission
        own = tf.broadcast_to(tf.range(tags), tf.shape(scores))
        return tf.where(is_real, following, scores), tf.where(is_real, sources, own)

    scores, sources = tf.scan(step, (log_probabilities, is_word), (before_first, tf.zeros((batch, tags), tf.int32)))
    last = tf.argmax(scores[-1], axis=1, output_type=tf.int32)

    def trace_back(tag, source):
        return tf.gather(source, tag, batch_dims=1)

    before = tf.scan(trace_back, sources, last, reverse=True)  # the tags before each word
    return tf.transpose(tf.where(is_word[:-1], before[1:], 0))


def find_spans(logits, starts, ends):
    """Returns the spans of texts, each ragged (batch, spans): start, end, and type, int32, and score, float32.

    Starts and ends are indices of characters, types are indices, and scores are means of the probabilities of the tags
    of a span's words.

    Args:
        logits: float32 (batch, words, tags); what is beyond the words of a text is ignored.
        starts: ragged int32 (batch, words), the index of the first character of every word.
        ends: ragged int32 (batch, words), the index after the last character of every word.
    """
    lengths = starts.row_lengths()
    log_probabilities = tf.nn.log_softmax(logits)
    tags = find_best_tags(log_probabilities, lengths)
    probabilities = tf.exp(tf.gather(log_probabilities, tags, batch_dims=2))
    is_word = tf.sequence_mask(lengths, tf.shape(tags)[1])
    tags, probabilities = tf.boolean_mask(tags, is_word), tf.boolean_mask(probabilities, is_word)
    is_first, is_inside = tags % 2 == 1, tags > 0
    rows = tf.boolean_mask(starts.value_rowids(), is_first)
    span_index = tf.boolean_mask(tf.cumsum(tf.cast(is_first, tf.int32)) - 1, is_inside)
    count = tf.size(rows)
    columns = (
        tf.boolean_mask(starts.values, is_first),
        tf.math.unsorted_segment_max(tf.boolean_mask(ends.values, is_inside), span_index, count),
        (tf.boolean_mask(tags, is_first) - 1) // 2,
        tf.math.unsorted_segment_mean(tf.boolean_mask(probabilities, is_inside), span_index, count),
    )
    return tuple(tf.RaggedTensor.from_value_rowids(values, rows, starts.nrows()) for values in columns)
