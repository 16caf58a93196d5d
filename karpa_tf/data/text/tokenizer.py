"""WordPiece in TensorFlow core ops, for exported models that any TensorFlow program can load."""

import tensorflow as tf

from karpa_tf.data.text.characters import LAST_CODE_POINT, PAGE_SIZE, UNCHANGED, make_character_table
from karpa_tf.data.text.vocabulary import CLS, CONTINUATION, MASK, MAX_WORD_LENGTH, PAD, SEP, UNK


class WordPiece(tf.Module):
    """Splits texts into tokens of a `Vocabulary`, with the same results as the `tokenizers` package.

    Args:
        vocabulary: a `Vocabulary`.
        read_mask: whether [MASK] in a text is that token, for filling masks; otherwise, as in training text, it is
            ordinary text.
    """

    def __init__(self, vocabulary, read_mask=False):
        super().__init__(name="word_piece")
        self.read_mask = read_mask
        self.special = {name: vocabulary.tokens.index(name) for name in (PAD, UNK, CLS, SEP, MASK)}
        page_of, pages = make_character_table(vocabulary.lowercase, vocabulary.strip_accents)
        self.page_of, self.pages = tf.constant(page_of), tf.constant(pages.reshape(-1, pages.shape[-1]))
        tokens = [*vocabulary.tokens, chr(LAST_CODE_POINT)]
        ids = [*range(len(vocabulary)), self.special[MASK]]
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(tokens), tf.constant(ids, tf.int32)), -1
        )
        self.max_piece_length = max(len(token.removeprefix(CONTINUATION)) for token in vocabulary.tokens)

    def __call__(self, texts):
        """Returns the token ids of texts, string (batch,), as ragged int32 (batch, tokens)."""
        return self._tokenize_words(self._normalize(texts)[0]).merge_dims(1, 2)

    def pack(self, texts, length):
        """Returns texts between [CLS] and [SEP], truncated to `length` ids and padded to the longest of them.

        Args:
            texts: string (batch,).
            length: maximum number of ids per text; at least 2.

        Returns:
            `token_ids`, int32 (batch, longest), and `padding_mask`, bool (batch, longest), False for padding.
        """
        return self._add_special_tokens(self(texts)[:, : length - 2])

    def pack_pairs(self, texts, pairs, length):
        """Returns what `pack` does, of texts and second texts, with [SEP] after each of both.

        Args:
            texts: string (batch,).
            pairs: string (batch,).
            length: maximum number of ids of both; at least 3. The longer text is truncated first.
        """
        first, second = self(texts), self(pairs)
        budget = tf.constant(length - 3, tf.int64)
        kept = tf.minimum(first.row_lengths(), tf.maximum(budget - second.row_lengths(), (budget + 1) // 2))
        first, second = (
            tf.ragged.boolean_mask(ids, tf.ragged.range(ids.row_lengths()) < tf.expand_dims(maximum, 1))
            for ids, maximum in ((first, kept), (second, budget - kept))
        )
        separator = tf.fill([first.nrows(), 1], self.special[SEP])
        return self._add_special_tokens(tf.concat([first, separator, second], axis=1))

    def pack_words(self, texts, length):
        """Returns what `pack` does, and where the words are; punctuation characters are words.

        Args:
            texts: string (batch,).
            length: maximum number of ids per text; at least 2.

        Returns:
            `token_ids` and `padding_mask` as `pack`; and of the words whose first id is among them, ragged int32
            (batch, words): the index of that id, the index of the word's first character in the text, and the index
            after its last one. Combining marks belong to the character before them.
        """
        cleaned, source, sizes = self._normalize(texts)
        words = self._tokenize_words(cleaned)
        counts = tf.cast(words.row_lengths(axis=2).flat_values, tf.int32)
        before = words.row_splits  # (batch + 1,)
        sums = tf.concat([[0], tf.cumsum(counts)], axis=0)
        first = sums[:-1] - tf.repeat(tf.gather(sums, before[:-1]), before[1:] - before[:-1]) + 1  # after [CLS]
        is_kept = tf.RaggedTensor.from_row_splits(first < length - 1, before)
        located = first, *_locate_words(cleaned, source, sizes)
        rows = (tf.RaggedTensor.from_row_splits(values, before) for values in located)
        kept = (tf.ragged.boolean_mask(values, is_kept) for values in rows)
        return *self._add_special_tokens(words.merge_dims(1, 2)[:, : length - 2]), *kept

    def _add_special_tokens(self, pieces):
        ends = [tf.fill([pieces.nrows(), 1], self.special[name]) for name in (CLS, SEP)]
        rows = tf.concat([ends[0], pieces, ends[1]], axis=1)
        return rows.to_tensor(self.special[PAD]), tf.sequence_mask(rows.row_lengths())

    def _tokenize_words(self, cleaned):
        """Returns the token ids of words, ragged int32 (batch, words, tokens), of characters from `_normalize`."""
        words = tf.strings.split(tf.strings.unicode_encode(cleaned, "UTF-8"))
        unique, index = tf.unique(words.values)
        pieces = tf.gather(self._split_pieces(unique), index)
        return tf.RaggedTensor.from_nested_row_splits(pieces.values, [words.row_splits, pieces.row_splits])

    def _normalize(self, texts):
        """Returns normalized characters in which spaces separate words, with their origin.

        Returns:
            Code points, ragged int32 (batch, characters); for each of them, int32 (n,), the index in its text of the
            character that it comes from; and the numbers of characters of the texts, int32 (batch,).
        """
        if self.read_mask:
            texts = tf.strings.regex_replace(texts, chr(LAST_CODE_POINT), "")
            texts = tf.strings.regex_replace(texts, r"\[MASK\]", chr(LAST_CODE_POINT))
        codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace", replace_control_characters=False)
        values = codes.values
        if not self.read_mask:
            values = tf.where(values == LAST_CODE_POINT, 0, values)
        indices = tf.gather(self.page_of, values // PAGE_SIZE) * PAGE_SIZE + values % PAGE_SIZE
        normalized = tf.gather(self.pages, indices)  # (characters, k)
        normalized = tf.where(normalized == UNCHANGED, values[:, None], normalized)
        is_kept = normalized != 0
        counts = tf.concat([[0], tf.cumsum(tf.reduce_sum(tf.cast(is_kept, tf.int64), axis=1))], axis=0)
        cleaned = tf.RaggedTensor.from_row_splits(
            tf.boolean_mask(normalized, is_kept), tf.gather(counts, codes.row_splits)
        )
        index = tf.ragged.range(codes.row_lengths()).values[:, None]
        source = tf.boolean_mask(tf.broadcast_to(index, tf.shape(normalized, tf.int64)), is_kept)
        return cleaned, tf.cast(source, tf.int32), tf.cast(codes.row_lengths(), tf.int32)

    def _split_pieces(self, words):
        """Returns the token ids of words, ragged int32 (words, tokens), by greedy longest match."""
        length = tf.strings.length(words, unit="UTF8_CHAR")
        sizes = tf.range(1, self.max_piece_length + 1)[None]

        def match_next(start, is_known, ids):
            shape = [tf.size(words), self.max_piece_length]
            begins = tf.broadcast_to(start[:, None], shape)
            candidates = tf.strings.substr(
                tf.broadcast_to(words[:, None], shape), begins, tf.broadcast_to(sizes, shape), unit="UTF8_CHAR"
            )
            candidates = tf.where(begins > 0, CONTINUATION + candidates, candidates)
            candidate_ids = self.table.lookup(candidates)
            fits = (candidate_ids >= 0) & (begins + sizes <= length[:, None])
            size = tf.reduce_max(tf.where(fits, sizes, 0), axis=1)
            piece = tf.gather(candidate_ids, tf.maximum(size - 1, 0), batch_dims=1)
            is_unfinished = start < length
            is_known &= (size > 0) | ~is_unfinished
            ids = tf.concat([ids, tf.where(is_unfinished & (size > 0), piece, -1)[:, None]], axis=1)
            return tf.where(is_known, start + size, length), is_known, ids

        start = tf.zeros_like(length)
        is_known = length <= MAX_WORD_LENGTH
        _, is_known, ids = tf.while_loop(
            lambda start, *_: tf.reduce_any(start < length),
            match_next,
            [tf.where(is_known, start, length), is_known, tf.zeros([tf.size(words), 0], tf.int32)],
            shape_invariants=[tf.TensorShape([None]), tf.TensorShape([None]), tf.TensorShape([None, None])],
        )
        unknown = tf.fill([tf.size(words), 1], self.special[UNK])
        ids = tf.concat([tf.where(is_known[:, None], -1, unknown), tf.where(is_known[:, None], ids, -1)], axis=1)
        counts = tf.reduce_sum(tf.cast(ids >= 0, tf.int64), axis=1)
        return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(ids, ids >= 0), counts)


def _locate_words(cleaned, source, sizes):
    """Returns the index of the first character of every word, and that after its last one, int32 (words,).

    Arguments are the results of `WordPiece._normalize`.
    """
    is_letter = tf.concat([[False], cleaned.values != ord(" "), [False]], axis=0)
    row = tf.concat([[-1], tf.cast(cleaned.value_rowids(), tf.int32), [-1]], axis=0)
    is_new_row = row[1:] != row[:-1]  # at every character, and at the end
    is_first = is_letter[1:-1] & (~is_letter[:-2] | is_new_row[:-1])
    is_last = is_letter[1:-1] & (~is_letter[2:] | is_new_row[1:])
    # A word ends where the next character that is kept begins: in between are only combining marks and the like.
    following = tf.concat([source[1:], [0]], axis=0)
    following = tf.where(is_new_row[1:], tf.gather(sizes, row[1:-1]), following)
    ends = tf.maximum(following, source + 1)
    return tf.boolean_mask(source, is_first), tf.boolean_mask(ends, is_last)
