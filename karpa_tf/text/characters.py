"""What BERT's rules make of every character: the same table for TensorFlow as for the `tokenizers` package."""

import functools

import numpy as np

from karpa_tf.text.vocabulary import rules

LAST = 0x10FFFF
"""The last code point. It stands for no character, and here for a special token that may be written in a text."""

ITSELF = -1
"""In the table: the character as it is."""

PAGE = 256
"""Code points in a page; pages that are alike are kept once."""


@functools.cache
def character_table(lowercase, strip_accents):
    """Returns what each character becomes: nothing, itself, others, or one that stands alone, between spaces.

    BERT's cleaning, its spaces around Chinese characters, accent stripping, lower case and the split at spaces and
    punctuation each treat one character at a time, so that a table is exact. It is read off the `tokenizers` package,
    whose classes of characters are those of its own version of Unicode.

    Returns:
        int32 (4352,), the page of every 256 code points; and int32 (pages, 256, k), up to k code points for each, then
        0; `ITSELF` stands for the character.
    """
    normalizer, splitter = rules(lowercase, strip_accents)
    becomes = {}
    for start in range(0, LAST + 1, 0x10000):
        codes = [code for code in range(start, start + 0x10000) if not 0xD800 <= code < 0xE000]
        # Between two letters nothing is lost: "a b" was a space, "ab" nothing, "a . b" stands alone.
        marked = normalizer.normalize_str("\n\n".join(f"a{chr(code)}b" for code in codes))
        becomes |= zip(codes, _between_letters(marked, splitter), strict=True)
    becomes[LAST] = f" {chr(LAST)} "
    width = max(map(len, becomes.values()))
    table = np.zeros((LAST + 1, width), np.int32)
    for code, text in becomes.items():
        table[code, : len(text)] = [ITSELF if ord(letter) == code else ord(letter) for letter in text]
    pages, index = np.unique(table.reshape(-1, PAGE * width), axis=0, return_inverse=True)
    return index.reshape(-1).astype(np.int32), pages.reshape(-1, PAGE, width)


def _between_letters(marked, splitter):
    """Yields what stands between a and b in each part of a text, words one space apart; two spaces end a part."""
    words = iter(splitter.pre_tokenize_str(marked))
    word, (start, _) = next(words)
    end = -2
    for part in marked.split("  "):
        end += 2 + len(part)
        found = []
        while start < end:
            found.append(word)
            word, (start, _) = next(words, ("", (end, end)))
        yield " ".join(found)[1:-1]
