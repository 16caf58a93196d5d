"""Metrics of language models."""

import math

import numpy as np

LARGEST_LOSS = 700.0


"""Nats; e to the power of more is no finite float64."""


def perplexity(loss):
    """Returns e to the power of a loss in nats, finite for any."""
    return math.exp(min(loss, LARGEST_LOSS))


def unigram(ids, counts):
    """Returns perplexity and accuracy, over tokens, of always guessing by how often each came elsewhere.

    The perplexity is e to the mean of -log p, with p = (count + 1) / (sum of the counts + their number); the accuracy
    is that of the token with the largest count.

    Args:
        ids: int (n,), the tokens.
        counts: int (vocabulary,).
    """
    probabilities = (np.asarray(counts) + 1) / (np.sum(counts) + len(counts))
    return float(np.exp(-np.log(probabilities[ids]).mean())), float(np.mean(ids == np.argmax(counts)))
