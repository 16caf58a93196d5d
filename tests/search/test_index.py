"""Indexes of texts: what is found by meaning, by words and by both, and what is no index."""

import numpy as np
import pytest

from karpa_tf.errors import UserError
from karpa_tf.search import index as indexes
from karpa_tf.search.index import SearchIndex, write

pytest.importorskip("usearch")

TEXTS = ("the cat", "a dog and a cat", "milk", "the price of milk", "")


def embed(count, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def index(tmp_path):
    vectors = embed(5)
    metadata = {"source": {"run": "/runs/one"}, "factors": (2.0, 0.5)}
    write(tmp_path / "index", TEXTS, iter([vectors[:3], vectors[3:]]), embed(1, seed=9), metadata)
    return SearchIndex(tmp_path / "index")


def test_the_nearest_embeddings_are_found(index):
    query = embed(1, seed=3)[0]
    ids, similarities = index.search_embeddings(query, 3)
    expected = embed(5) @ query
    assert ids.tolist() == np.argsort(-expected)[:3].tolist()
    np.testing.assert_allclose(similarities, np.sort(expected)[::-1][:3], atol=1e-6)
    assert len(index.search_embeddings(query, 99)[0]) == len(index) == 5


def test_large_indexes_are_searched_by_a_graph_that_finds_almost_the_same(tmp_path, monkeypatch):
    vectors, queries = embed(2000), embed(50, seed=4)
    write(tmp_path / "large", ["x"] * 2000, [vectors], vectors[:1], {"source": {}, "factors": (1, 1)})
    monkeypatch.setattr(indexes, "EXACT", 10)
    index = SearchIndex(tmp_path / "large")
    found = [set(index.search_embeddings(query, 10)[0]) for query in queries]
    exact = [set(row) for row in np.argsort(-queries @ vectors.T, axis=1)[:, :10]]
    assert np.mean([len(a & b) / 10 for a, b in zip(found, exact, strict=True)]) > 0.9


def test_words_are_found_in_the_order_of_their_scores(index):
    ids, scores = index.search_words("price of MILK", 5)
    assert ids.tolist() == [3, 2] and (np.diff(scores) < 0).all()
    assert index.search_words("nothing", 5)[0].tolist() == index.search_words("", 5)[0].tolist() == []
    assert index.read_texts(ids) == ["the price of milk", "milk"]


@pytest.mark.parametrize("candidates", [1, 9])
def test_scores_of_both_searches_are_added(index, monkeypatch, candidates):
    monkeypatch.setattr(indexes, "MAX_CANDIDATES", candidates)
    query, expected = embed(1, seed=3)[0], np.zeros(5)
    by_words = dict(zip(*index.search_words("milk", 5), strict=True))
    for text, similarity in zip(*index.search_embeddings(query, 5), strict=True):
        expected[text] = 2 * similarity + 0.5 * by_words.get(text, 0)
    ids, scores = index.search_both("milk", query, 2)
    np.testing.assert_allclose(scores, np.sort(expected)[::-1][:2], rtol=1e-5)
    np.testing.assert_allclose(expected[ids], scores, rtol=1e-5)
    assert len(index.search_both("milk", query, 99)[0]) == 5


def test_another_model_is_refused(index):
    index.require_model(embed(1, seed=9))
    for other in (embed(1, seed=8), embed(1, seed=9)[:, :8]):
        with pytest.raises(UserError, match=r"was made with another model \(/runs/one\)"):
            index.require_model(other)


@pytest.mark.parametrize("part", ["vectors.usearch", "words/vocab.index.json", "texts.sqlite"])
@pytest.mark.parametrize("content", [None, "garbage"])
def test_a_damaged_index_is_told(index, part, content):
    (index.folder / part).unlink()
    if content:
        (index.folder / part).write_text(content)
    with pytest.raises(UserError, match="is damaged|is no index"):
        found = SearchIndex(index.folder)
        found.read_texts(found.search_both("milk", embed(1)[0], 3)[0])


def test_parts_of_another_index_are_told(index, tmp_path):
    write(tmp_path / "other", TEXTS[:3], [embed(3)], embed(1), {"source": {}, "factors": (1, 1)})
    for part in ("vectors.usearch", "words"):
        (index.folder / part).rename(tmp_path / part)
        (tmp_path / "other" / part).rename(index.folder / part)
    for search in (lambda found: found.search_embeddings(embed(1)[0], 3), lambda found: found.search_words("milk", 3)):
        with pytest.raises(UserError, match="is missing, or of another index"):
            search(SearchIndex(index.folder))


def test_an_index_is_not_overwritten(index, tmp_path):
    (tmp_path / "dangling").symlink_to("nothing")
    for folder in (index.folder, tmp_path / "dangling"):
        with pytest.raises(UserError, match="exists; choose another folder"):
            write(folder, TEXTS, [embed(5)], embed(1), {})
    assert index.read_texts([1]) == ["a dog and a cat"]


def test_what_is_no_index_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(UserError, match="is no index, or damaged; write one"):
            SearchIndex(folder)
