"""Metrics of language models."""

import math

import numpy as np

MAX_LOSS = 700.0
"""Nats; the exponential of more overflows float64."""


def perplexity(loss):
    """Returns the exponential of a loss in nats, finite for any loss."""
    return math.exp(min(loss, MAX_LOSS))


def bits_per_byte(loss, ids, tokens, continuation="##"):
    """Returns a loss per byte of the text that tokens stand for, in bits: it can be compared between vocabularies.

    Args:
        loss: mean loss over the tokens, in nats.
        ids: int (n,), the tokens.
        tokens: the vocabulary.
        continuation: prefix of tokens within a word; any other token stands for the space before it too.
    """
    sizes = np.array([len(token.removeprefix(continuation).encode()) for token in tokens])
    sizes += [not token.startswith(continuation) for token in tokens]
    return loss / math.log(2) / float(sizes[ids].mean())


def unigram_baseline(ids, counts):
    """Returns perplexity and accuracy, over tokens, of predicting each token by its frequency elsewhere.

    The perplexity is exp of the mean of -log p, with p = (count + 1) / (sum of counts + vocabulary size); the accuracy
    is that of always predicting the most frequent token.

    Args:
        ids: int (n,), the tokens.
        counts: int (vocabulary,).
    """
    probabilities = (np.asarray(counts) + 1) / (np.sum(counts) + len(counts))
    return float(np.exp(-np.log(probabilities[ids]).mean())), float(np.mean(ids == np.argmax(counts)))
