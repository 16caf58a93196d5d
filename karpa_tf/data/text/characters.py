"""BERT's text normalization as a table of characters, with the same results as the `tokenizers` package."""

import functools

import numpy as np

from karpa_tf.data.text.vocabulary import make_normalizer_and_splitter

LAST_CODE_POINT = 0x10FFFF
"""The last code point, a noncharacter; `WordPiece` substitutes it for [MASK] in a text."""

UNCHANGED = -1
"""Table entry of a character that normalization does not change."""

PAGE_SIZE = 256
"""Code points per page of the table; equal pages are stored once."""


@functools.cache
def make_character_table(lowercase, strip_accents):
    """Returns the normalized form of each character: nothing, itself, other characters, or one between spaces.

    BERT's cleaning, spaces around Chinese characters, accent stripping, lowercasing and splitting at spaces and
    punctuation process one character at a time, so a table is exact. It is computed with the `tokenizers` package, with
    the character classes of its version of Unicode.

    Returns:
        int32 (4352,), the page of every 256 code points; and int32 (pages, 256, k), up to k code points for each,
        padded with 0; `UNCHANGED` is the character itself.
    """
    normalizer, splitter = make_normalizer_and_splitter(lowercase, strip_accents)
    normalized = {}
    table = np.zeros((LAST_CODE_POINT + 1, 1), np.int32)  # most code points are removed
    for start in range(0, LAST_CODE_POINT + 1, PAGE_SIZE):
        codes = [code for code in range(start, start + PAGE_SIZE) if not 0xD800 <= code < 0xE000]
        # Normalized between the letters a and b: "a b" is a space, "ab" is nothing, "a . b" is a word of its own.
        texts = "\n\n".join(f"a{chr(code)}b" for code in codes)
        normalized_texts = normalizer.normalize_str(texts)
        if normalized_texts == "  ".join(["ab"] * len(codes)):
            continue
        words = splitter.pre_tokenize_str(normalized_texts)
        if len(words) == len(codes) and normalized_texts == texts.replace("\n\n", "  "):
            table[codes] = UNCHANGED
        else:
            normalized |= zip(codes, _split_normalized(normalized_texts, words), strict=True)
    normalized[LAST_CODE_POINT] = f" {chr(LAST_CODE_POINT)} "
    table = np.pad(table, ((0, 0), (0, max(map(len, normalized.values())) - 1)))
    for code, text in normalized.items():
        table[code] = 0
        table[code, : len(text)] = [UNCHANGED if ord(letter) == code else ord(letter) for letter in text]
    pages = {}
    index = [pages.setdefault(page.tobytes(), len(pages)) for page in table.reshape(-1, PAGE_SIZE, table.shape[1])]
    different = np.frombuffer(b"".join(pages), np.int32).reshape(len(pages), PAGE_SIZE, table.shape[1])
    return np.array(index, np.int32), different


def _split_normalized(normalized_texts, words):
    """Yields the normalized form of each character, without the a and b around it.

    Args:
        normalized_texts: the normalized characters, each between a and b, separated by two spaces.
        words: the words of `normalized_texts`, each with its start and end.
    """
    words = iter(words)
    word, (start, _) = next(words)
    end = -2
    for text in normalized_texts.split("  "):
        end += 2 + len(text)
        words_of_text = []
        while start < end:
            words_of_text.append(word)
            word, (start, _) = next(words, ("", (end, end)))
        yield " ".join(words_of_text)[1:-1]
