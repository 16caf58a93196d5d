"""Metrics of retrieval: how high the right answer to a query is ranked."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

RECALL_AT = (1, 5, 10)
"""Numbers of results among which the answer may be."""

MIN_LOGIT, MAX_LOGIT = 0.1, 100.0
"""Bounds of the largest score times its factor. With few queries that are all answered, factors would grow without
limit; and a score that knows nothing about few queries still decides between texts that are equal by the other."""


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


def fit_factors(first, second, is_answer):
    """Returns two factors, floats above 0, by which two scores of the same texts are added.

    They minimize the cross-entropy of the softmax over the texts of every query, which is stacking (Wolpert 1992).

    Args:
        first: float (queries, texts).
        second: the same of another search.
        is_answer: bool (queries, texts), with an answer in every row.
    """

    def compute_loss(factors):
        logits = factors[0] * first + factors[1] * second
        return np.mean(logsumexp(logits, axis=1) - logsumexp(np.where(is_answer, logits, -np.inf), axis=1))

    scale = [float(np.abs(scores).max()) or 1.0 for scores in (first, second)]
    start, bounds = [1 / size for size in scale], [(MIN_LOGIT / size, MAX_LOGIT / size) for size in scale]
    return tuple(map(float, minimize(compute_loss, start, bounds=bounds, method="L-BFGS-B").x))
