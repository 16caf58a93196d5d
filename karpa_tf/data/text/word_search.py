"""Search by words with BM25 (Robertson and Zaragoza 2009)."""

import re
import unicodedata

import bm25s
import numpy as np

TERM = r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]"
"""A word, a letter of a script without spaces between words (Thai, Japanese, Chinese), or another character."""


def index_words(texts):
    """Returns a `bm25s.BM25` of a list of texts; case does not count."""
    index = bm25s.BM25()
    # The library divides by the mean length and by the number of words, which must not be 0.
    index.index([_split(text) or [""] for text in texts], show_progress=False)
    return index


def score_words(index, query):
    """Returns the score of every text of an index for a query, float32 (texts,); 0 for texts without its words.

    Args:
        index: result of `index_words`.
        query: a string; texts need not have all of its words.
    """
    words = _split(query)
    return index.get_scores(words) if words else np.zeros(index.scores["num_docs"], np.float32)


def _split(text):
    """Returns the words of a text in lowercase, however their accents are encoded; if it has none, its other signs."""
    terms = re.findall(TERM, unicodedata.normalize("NFKC", text).lower())
    return [term for term in terms if any(map(str.isalnum, term))] or terms
