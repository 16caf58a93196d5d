"""A folder with texts, their embeddings and their words, to be searched by meaning, by words, or by both.

It holds `index.json`, `texts.sqlite`, `vectors.usearch` and the folder `words`.
"""

import contextlib
import functools
import json
import os
import sqlite3
from pathlib import Path

import bm25s
import numpy as np

from karpa_tf.data.text.word_search import index_words, score_words
from karpa_tf.errors import UserError, first_line
from karpa_tf.system.files import publish_folder

FILE, TEXTS_FILE, VECTORS_FILE, WORDS_FOLDER = "index.json", "texts.sqlite", "vectors.usearch", "words"

PROBE = "The list of a text."
"""Text whose embedding is kept with an index, to tell whether queries are embedded by the same model."""

TOLERANCE = 0.01
"""Of the similarity of the embedding of `PROBE` to what it was, for other machines and versions."""

EXACT = 100_000
"""Number of texts up to which all embeddings are compared; for more, usearch's graph is used."""

MAX_CANDIDATES = 1000
"""Number of the best texts by meaning, and of those by words, whose scores are added."""


class SearchIndex:
    """An index that has been written by `write`.

    Args:
        folder: its folder.

    Attributes:
        metadata: content of `index.json`.
        database: `sqlite3.Connection` with the table `texts` (id, text), and those of `search.entities` if it has any.

    Raises:
        UserError: the folder holds no index.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        try:
            self.metadata = json.loads((self.folder / FILE).read_text(encoding="utf-8"))
            self.database = sqlite3.connect(f"{(self.folder / TEXTS_FILE).absolute().as_uri()}?mode=ro", uri=True)
            (last,) = self.database.execute("SELECT MAX(id) FROM texts").fetchone()
            is_complete = self.metadata["count"] == last + 1 and {"factors", "probe", "source"} <= self.metadata.keys()
        except (OSError, ValueError, TypeError, KeyError, sqlite3.Error):
            is_complete = False
        if not is_complete:
            raise UserError(f"--index {folder} is no index, or damaged; write one with index_texts.")

    def __len__(self):
        return self.metadata["count"]

    def read_texts(self, ids):
        """Returns the texts with some ids, a list of strings."""
        command = "SELECT text FROM texts WHERE id = ?"
        try:
            return [self.database.execute(command, (int(index),)).fetchone()[0] for index in ids]
        except sqlite3.Error as error:
            raise UserError(f"--index {self.folder} is damaged: {TEXTS_FILE} cannot be read ({error}).") from error

    def require_model(self, embeddings):
        """Raises `UserError` unless embeddings of `PROBE`, float32 (1, dimensions), are those of the index's model."""
        expected = np.array(self.metadata["probe"], np.float32)
        if embeddings.shape[1] != len(expected) or embeddings[0] @ expected < 1 - TOLERANCE:
            source = " ".join(map(str, self.metadata["source"].values()))
            raise UserError(
                f"--index {self.folder} was made with another model ({source}); embeddings of different models cannot "
                "be compared."
            )

    def search(self, by, queries, embeddings, count):
        """Returns a list of (query, [(text, score), ...]), the best texts first.

        Args:
            by: "meaning", "words" or "both".
            queries: list of n strings.
            embeddings: float32 (n, dimensions), of unit length; or None for searching by words.
            count: maximum number of texts for each query.
        """
        if by == "words":
            found = [self.search_words(query, count) for query in queries]
        elif by == "meaning":
            found = [self.search_embeddings(embedding, count) for embedding in embeddings]
        else:
            pairs = zip(queries, embeddings, strict=True)
            found = [self.search_both(query, embedding, count) for query, embedding in pairs]
        texts = [list(zip(self.read_texts(ids), map(float, scores), strict=True)) for ids, scores in found]
        return list(zip(queries, texts, strict=True))

    def search_embeddings(self, embedding, count):
        """Returns the ids of the nearest texts, int64 (`count`,), and their similarities, float32 (`count`,).

        Args:
            embedding: float32 (dimensions,), of unit length.
            count: maximum number of texts.
        """
        matches = self._vectors.search(embedding, min(count, len(self)), exact=len(self) <= EXACT)
        return matches.keys.astype(np.int64), 1 - matches.distances

    def search_words(self, query, count):
        """Returns the ids of the best texts by BM25, int64 (n,), and their scores; n is at most `count`."""
        scores = score_words(self._words, query)
        ids = _find_best(scores, count)
        ids = ids[scores[ids] > 0]
        return ids, scores[ids]

    def search_both(self, query, embedding, count):
        """Returns the ids of the best texts by both searches, whose scores are added times `factors`, and the sums."""
        by_words = score_words(self._words, query)
        nearest, _ = self.search_embeddings(embedding, max(count, MAX_CANDIDATES))
        ids = np.union1d(nearest, _find_best(by_words, max(count, MAX_CANDIDATES)))
        factors = self.metadata["factors"]
        scores = factors[0] * (self._vectors.get(ids) @ embedding) + factors[1] * by_words[ids]
        order = _find_best(scores, count)
        return ids[order], scores[order]

    @functools.cached_property
    def _vectors(self):
        usearch = require_usearch()
        return self._open(VECTORS_FILE, lambda path: usearch.Index.restore(str(path), view=True), len)

    @functools.cached_property
    def _words(self):
        load = functools.partial(bm25s.BM25.load, mmap=True)
        return self._open(WORDS_FOLDER, load, lambda loaded: loaded.scores["num_docs"])

    def _open(self, name, load, count):
        """Returns what `load` does with the path of a part of the index; raises `UserError` if it is damaged."""
        try:
            loaded = load(self.folder / name)
        except Exception as error:  # Both libraries raise exceptions of many classes.
            raise UserError(
                f"--index {self.folder} is damaged: {name} cannot be read ({first_line(error)})."
            ) from error
        if loaded is None or count(loaded) != len(self):
            raise UserError(f"--index {self.folder} is damaged: {name} is missing, or of another index.")
        return loaded


def _find_best(scores, count):
    """Returns the indices of the `count` highest of scores (n,), the best first."""
    return np.argsort(-scores, kind="stable")[:count]


def write(folder, texts, embeddings, probe, metadata, add_tables=None):
    """Writes the folder of an index, complete or not at all.

    Args:
        folder: its path, see `require_new`.
        texts: list of n strings.
        embeddings: iterable of float32 (batch, dimensions), of unit length, n rows in all.
        probe: float32 (1, dimensions), the embedding of `PROBE`.
        metadata: what `index.json` says besides, a dict; `source` has the fields of the `ModelSource`, and `factors`
            are those of similarities and of BM25 for searching by both, see `fit_factors`.
        add_tables: function of the database that adds tables, or None.

    Raises:
        UserError: something is at `folder`, or usearch is not installed.
    """
    vectors, first = require_usearch().Index(ndim=probe.shape[1], metric="cos", dtype="f32"), 0
    for batch in embeddings:
        # With one thread the graph is the same every time.
        vectors.add(np.arange(first, first + len(batch)), batch, threads=1)
        first += len(batch)
    require_new(folder)
    with publish_folder(Path(folder)) as temporary:
        with contextlib.closing(sqlite3.connect(temporary / TEXTS_FILE)) as database, database:
            database.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
            database.executemany("INSERT INTO texts VALUES (?, ?)", enumerate(texts))
            if add_tables:
                add_tables(database)
        vectors.save(str(temporary / VECTORS_FILE))
        index_words(texts).save(temporary / WORDS_FOLDER)
        values = metadata | {"count": len(texts), "dimensions": probe.shape[1], "probe": probe[0].tolist()}
        (temporary / FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def require_new(folder):
    """Raises `UserError` if something is at the path `folder`."""
    if os.path.lexists(folder):
        raise UserError(f"--index {folder} exists; choose another folder, or remove it.")


def require_usearch():
    """Returns the module `usearch.index`; raises `UserError` if it is not installed."""
    try:
        from usearch import index
    except ImportError as error:
        raise UserError("usearch is not installed; pip install 'karpa_tf[search]' brings it.") from error
    return index
