"""Metrics of retrieval: how high the right answer to a query is ranked."""

import numpy as np

RECALL_AT = (1, 5, 10)
"""Numbers of results among which the answer may be."""


def compute_ranks(scores, is_answer):
    """Returns the rank of the best answer of every query, float64 (queries,), 1 for the first, infinite for none.

    Of results with equal scores, the answer is counted as the last: a model that gives the same score to all texts
    finds nothing.

    Args:
        scores: float (queries, texts), the higher the better; -inf for texts that are not found.
        is_answer: bool (queries, texts).
    """
    best = np.where(is_answer, scores, -np.inf).max(axis=1, keepdims=True)
    ranks = ((scores >= best) & ~is_answer).sum(axis=1) + 1.0
    return np.where(np.isfinite(best[:, 0]), ranks, np.inf)


def summarize(ranks):
    """Returns `recall_at_1`, `recall_at_5`, `recall_at_10`, fractions of the queries, and `mrr`, a dict of floats.

    `mrr` is the mean of the reciprocal ranks (Voorhees 1999).

    Args:
        ranks: result of `compute_ranks`.
    """
    recall = {f"recall_at_{count}": float((ranks <= count).mean()) for count in RECALL_AT}
    return recall | {"mrr": float((1 / ranks).mean())}


def fuse_ranks(*scores, constant=60):
    """Returns the sum over searches of 1 / (`constant` + rank), float64 (queries, texts); -inf for what none finds.

    Reciprocal rank fusion (Cormack et al. 2009).

    Args:
        *scores: arrays as for `compute_ranks`.
        constant: the paper's k.
    """
    total = 0.0
    for values in scores:
        order = np.argsort(-values, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(1, values.shape[1] + 1)[None], axis=1)
        total = total + np.where(np.isfinite(values), 1 / (constant + ranks), 0.0)
    return np.where(total > 0, total, -np.inf)
