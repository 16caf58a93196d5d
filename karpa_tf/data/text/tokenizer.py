"""WordPiece in TensorFlow core ops, so that a model can be exported with it and loaded by any TensorFlow program."""

import tensorflow as tf

from karpa_tf.data.text.characters import ITSELF, LAST, PAGE, character_table
from karpa_tf.data.text.vocabulary import CLS, CONTINUATION, LONGEST_WORD, MASK, PAD, SEP, UNK


class WordPiece(tf.Module):
    """Splits texts into the pieces of a `Vocabulary`, as the `tokenizers` package does, to the piece.

    Args:
        vocabulary: a `Vocabulary`.
        read_mask: let a written [MASK] be that token, as it is where blanks are to be filled; in text to be learned
            from, and else, it is ordinary text.
    """

    def __init__(self, vocabulary, read_mask=False):
        super().__init__(name="word_piece")
        self.read_mask = read_mask
        self.special = {name: vocabulary.tokens.index(name) for name in (PAD, UNK, CLS, SEP, MASK)}
        page_of, pages = character_table(vocabulary.lowercase, vocabulary.strip_accents)
        self.page_of, self.pages = tf.constant(page_of), tf.constant(pages.reshape(-1, pages.shape[-1]))
        tokens = [*vocabulary.tokens, chr(LAST)]
        ids = [*range(len(vocabulary)), self.special[MASK]]
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(tokens), tf.constant(ids, tf.int32)), -1
        )
        self.longest_piece = max(len(token.removeprefix(CONTINUATION)) for token in vocabulary.tokens)

    def __call__(self, texts):
        """Returns the ids of the pieces of texts, string (batch,), as ragged int32 (batch, pieces)."""
        words = self._words(texts)
        unique, place = tf.unique(words.values)
        pieces = tf.gather(self._pieces(unique), place)
        return tf.RaggedTensor.from_nested_row_splits(pieces.values, [words.row_splits, pieces.row_splits]).merge_dims(
            1, 2
        )

    def packed(self, texts, length):
        """Returns texts between [CLS] and [SEP], cut to `length` ids, and filled up with [PAD] to the longest of them.

        Args:
            texts: string (batch,).
            length: ids in a row at most; at least 2.

        Returns:
            `token_ids`, int32 (batch, longest), and `padding_mask`, bool (batch, longest), True for what is no padding.
        """
        pieces = self(texts)[:, : length - 2]
        ends = [tf.fill([pieces.nrows(), 1], self.special[name]) for name in (CLS, SEP)]
        rows = tf.concat([ends[0], pieces, ends[1]], axis=1)
        return rows.to_tensor(self.special[PAD]), tf.sequence_mask(rows.row_lengths())

    def _words(self, texts):
        """Returns cleaned words, ragged string (batch, words), with punctuation as words of its own."""
        texts = tf.strings.regex_replace(texts, chr(LAST), "")
        if self.read_mask:
            texts = tf.strings.regex_replace(texts, r"\[MASK\]", chr(LAST))
        codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace", replace_control_characters=False)
        places = tf.gather(self.page_of, codes.values // PAGE) * PAGE + codes.values % PAGE
        becomes = tf.gather(self.pages, places)  # (characters, k)
        becomes = tf.where(becomes == ITSELF, codes.values[:, None], becomes)
        kept = becomes != 0
        counts = tf.concat([[0], tf.cumsum(tf.reduce_sum(tf.cast(kept, tf.int64), axis=1))], axis=0)
        cleaned = tf.RaggedTensor.from_row_splits(tf.boolean_mask(becomes, kept), tf.gather(counts, codes.row_splits))
        return tf.strings.split(tf.strings.unicode_encode(cleaned, "UTF-8"))

    def _pieces(self, words):
        """Returns the ids of words' pieces, ragged int32 (words, pieces): the longest that fits, then the next."""
        length = tf.strings.length(words, unit="UTF8_CHAR")
        sizes = tf.range(1, self.longest_piece + 1)[None]

        def take(start, known, ids):
            shape = [tf.size(words), self.longest_piece]
            begins = tf.broadcast_to(start[:, None], shape)
            candidates = tf.strings.substr(
                tf.broadcast_to(words[:, None], shape), begins, tf.broadcast_to(sizes, shape), unit="UTF8_CHAR"
            )
            candidates = tf.where(begins > 0, CONTINUATION + candidates, candidates)
            found = self.table.lookup(candidates)
            fits = (found >= 0) & (begins + sizes <= length[:, None])
            size = tf.reduce_max(tf.where(fits, sizes, 0), axis=1)
            piece = tf.gather(found, tf.maximum(size - 1, 0), batch_dims=1)
            ongoing = start < length
            known &= (size > 0) | ~ongoing
            ids = tf.concat([ids, tf.where(ongoing & (size > 0), piece, -1)[:, None]], axis=1)
            return tf.where(known, start + size, length), known, ids

        start = tf.zeros_like(length)
        known = length <= LONGEST_WORD
        _, known, ids = tf.while_loop(
            lambda start, *_: tf.reduce_any(start < length),
            take,
            [tf.where(known, start, length), known, tf.zeros([tf.size(words), 0], tf.int32)],
            shape_invariants=[tf.TensorShape([None]), tf.TensorShape([None]), tf.TensorShape([None, None])],
        )
        unknown = tf.fill([tf.size(words), 1], self.special[UNK])
        ids = tf.concat([tf.where(known[:, None], -1, unknown), tf.where(known[:, None], ids, -1)], axis=1)
        rows = tf.reduce_sum(tf.cast(ids >= 0, tf.int64), axis=1)
        return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(ids, ids >= 0), rows)
