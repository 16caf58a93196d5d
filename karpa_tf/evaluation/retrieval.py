"""How well embeddings find the text that belongs to a text, beside search by words, and the report on it."""

import dataclasses
import json
import time

import numpy as np
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer

from karpa_tf.data.text.related import number_equal
from karpa_tf.data.text.word_search import TERM, index_words, score_words
from karpa_tf.metrics.intervals import paired_difference
from karpa_tf.metrics.retrieval import compute_ranks, fit_factors, summarize
from karpa_tf.system.console import track
from karpa_tf.system.files import write_text
from karpa_tf.system.text_files import write_table

CHANCE, TFIDF, BM25, TOGETHER = "chance", "TF-IDF", "BM25", "the model and BM25 together"

MAX_QUERIES = 1000
"""Maximum number of texts that are searched for; the texts to search in are all of the split, up to `MAX_TEXTS`."""

MAX_TEXTS = 20_000

MAX_SHOWN = 36
"""Number of queries in the report."""


def compute_embeddings(model, batches, count):
    """Returns the embeddings of the first and the second texts of pairs, two arrays, float32 (`count`, hidden_dim).

    Args:
        model: dict of token ids and masks to embeddings.
        batches: dataset of `make_evaluation_pair_batches`.
        count: number of pairs.
    """
    embed = tf.function(lambda **inputs: model(inputs, training=False), reduce_retracing=True)
    first, second = [], []
    for inputs, *_ in batches:
        for prefix, rows in (("", first), ("pair_", second)):
            rows.append(embed(**{name: inputs[prefix + name] for name in ("token_ids", "padding_mask")}).numpy())
    return np.concatenate(first)[:count], np.concatenate(second)[:count]


@dataclasses.dataclass(frozen=True)
class _Queries:
    """Texts to search for, texts to search in, and how similar they are."""

    queries: list

    texts: list
    """Each once."""

    answers: list
    """The second text of each query."""

    is_answer: np.ndarray
    """bool (queries, texts): what belongs to the query or to an equal text."""

    scores: np.ndarray
    """float32 (queries, texts)."""


def _select_queries(split, embeddings):
    """Returns the `_Queries` of a `TextSet` with pairs: first texts, searched for in the second texts."""
    kept = np.sort(np.random.default_rng(0).permutation(len(split))[:MAX_TEXTS])
    split, embeddings = split.select(kept), [array[kept] for array in embeddings]
    groups, answers = number_equal(split.texts), number_equal(split.pairs)
    first = np.unique(answers, return_index=True)[1]
    texts = [split.pairs[index] for index in first]
    chosen = np.sort(np.random.default_rng(1).permutation(len(split))[:MAX_QUERIES])
    queries = [split.texts[index] for index in chosen]
    is_answer = np.zeros((len(chosen), len(texts)), bool)
    members = {group: answers[groups == group] for group in np.unique(groups[chosen])}
    for row, index in enumerate(chosen):
        is_answer[row, members[groups[index]]] = True
    scores = embeddings[0][chosen] @ embeddings[1][first].T
    return _Queries(queries, texts, [split.pairs[index] for index in chosen], is_answer, scores)


def weigh(split, embeddings):
    """Returns the factors of `fit_factors` for similarities and for scores of BM25.

    Args:
        split: `TextSet` with pairs, not of the test split.
        embeddings: result of `compute_embeddings`.
    """
    searched = _select_queries(split, embeddings)
    return fit_factors(searched.scores, _search_bm25(searched.queries, searched.texts), searched.is_answer)


def save_report(folder, split, embeddings, has_baselines=True, factors=None):
    """Writes `report.json` and `queries.csv`; returns the content of the first.

    Every first text is a query, and the second texts are searched; the answers are those that belong to it or to an
    equal text.

    Args:
        folder: an existing folder.
        split: `TextSet` with pairs.
        embeddings: result of `compute_embeddings`.
        has_baselines: whether to search by words too.
        factors: result of `weigh`, or None.
    """
    searched = _select_queries(split, embeddings)
    queries, texts, scores = searched.queries, searched.texts, searched.scores
    ranks = compute_ranks(scores, searched.is_answer)
    report = {"data": split.name, "fingerprint": split.fingerprint, "count": len(queries), "searched": len(texts)}
    report |= summarize(ranks)
    if has_baselines:
        report |= _compare(searched, ranks, factors)
    write_text(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    best = scores.argmax(axis=1)
    rows = (
        (queries[row], int(ranks[row]), searched.answers[row], texts[best[row]], f"{scores[row, best[row]]:.3f}")
        for row in range(min(len(queries), MAX_SHOWN))
    )
    header = ["query", "rank of the answer", "answer", "first result", "similarity"]
    write_table(folder / "queries.csv", header, rows, "The report")
    return report


def _compare(searched, ranks, factors):
    """Returns what the report says about search by words, a dict."""
    count = np.arange(1, len(searched.texts) + 1)
    # An answer that is drawn at random has each rank with the same probability.
    baselines = [{"name": CHANCE, **summarize(count), "seconds": 0.0}]
    by_words = {}
    for name, search in ((TFIDF, _search_tfidf), (BM25, _search_bm25)):
        start = time.perf_counter()
        by_words[name] = search(searched.queries, searched.texts)
        seconds = time.perf_counter() - start
        found = np.where(by_words[name] > 0, by_words[name], -np.inf)
        own = compute_ranks(found, searched.is_answer)
        ends = zip(("low", "high"), paired_difference(ranks <= 10, own <= 10), strict=True)
        gain = {f"recall_at_10_gain_{end}": value for end, value in ends}
        baselines.append({"name": name, **summarize(own), "seconds": seconds, **gain})
    if not factors:
        return {"baselines": baselines}
    together = compute_ranks(factors[0] * searched.scores + factors[1] * by_words[BM25], searched.is_answer)
    return {"baselines": baselines, "parts": [{"name": TOGETHER, **summarize(together)}]}


def print_report(report, name):
    """Prints the figures of a report on the split `name`, and whether the model is better than search by words."""
    lines = [(name.capitalize(), report, f" of {report['count']:,} queries in {report['searched']:,} texts")]
    lines += [("", row, f" by {row['name']}") for row in [*report.get("parts", []), *report.get("baselines", [])]]
    for label, row, suffix in lines:
        figures = f"recall at 1 {row['recall_at_1']:.1%}, at 10 {row['recall_at_10']:.1%}, MRR {row['mrr']:.4f}"
        print(f"{label:10} {figures}{suffix}")
    chance, *by_words = report.get("baselines") or [None]
    best = max(by_words, key=lambda row: row["mrr"], default=None)
    if chance and report["mrr"] <= chance["mrr"]:
        print("The model is not better than chance: train for more epochs, or on more texts.")
    elif best and report["mrr"] <= best["mrr"]:
        are_better = any(part["mrr"] > best["mrr"] for part in report.get("parts", []))
        advice = "Both together are better." if are_better else "Train for more epochs, on more texts, or use that."
        print(f"The model is not better than its baseline, {best['name']}. {advice}")


def _search_tfidf(queries, texts):
    vectorizer = TfidfVectorizer(token_pattern=TERM, sublinear_tf=True, dtype=np.float32)
    rows = vectorizer.fit_transform(texts)
    return (vectorizer.transform(queries) @ rows.T).toarray()


def _search_bm25(queries, texts):
    index = index_words(texts)
    return np.stack([score_words(index, query) for query in track(queries, "BM25", total=len(queries))])
