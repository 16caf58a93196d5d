"""What BERT's rules make of every character: the same table for TensorFlow as for the `tokenizers` package."""

import functools

import numpy as np

from karpa_tf.data.text.vocabulary import rules

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
    table = np.zeros((LAST + 1, 1), np.int32)  # most code points are nothing
    for start in range(0, LAST + 1, PAGE):
        codes = [code for code in range(start, start + PAGE) if not 0xD800 <= code < 0xE000]
        # Between two letters nothing is lost: "a b" was a space, "ab" nothing, "a . b" stands alone.
        texts = "\n\n".join(f"a{chr(code)}b" for code in codes)
        marked = normalizer.normalize_str(texts)
        if marked == "  ".join(["ab"] * len(codes)):
            continue
        words = splitter.pre_tokenize_str(marked)
        if len(words) == len(codes) and marked == texts.replace("\n\n", "  "):
            table[codes] = ITSELF
        else:
            becomes |= zip(codes, _between_letters(marked, words), strict=True)
    becomes[LAST] = f" {chr(LAST)} "
    table = np.pad(table, ((0, 0), (0, max(map(len, becomes.values())) - 1)))
    for code, text in becomes.items():
        table[code] = 0
        table[code, : len(text)] = [ITSELF if ord(letter) == code else ord(letter) for letter in text]
    pages = {}
    index = [pages.setdefault(page.tobytes(), len(pages)) for page in table.reshape(-1, PAGE, table.shape[1])]
    different = np.frombuffer(b"".join(pages), np.int32).reshape(len(pages), PAGE, table.shape[1])
    return np.array(index, np.int32), different


def _between_letters(marked, words):
    """Yields what stands between a and b in each part of a text, words one space apart; two spaces end a part."""
    words = iter(words)
    word, (start, _) = next(words)
    end = -2
    for part in marked.split("  "):
        end += 2 + len(part)
        found = []
        while start < end:
            found.append(word)
            word, (start, _) = next(words, ("", (end, end)))
        yield " ".join(found)[1:-1]
