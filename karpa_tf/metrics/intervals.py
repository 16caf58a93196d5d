"""95 % confidence intervals of the difference between two models: how far it may be the choice of test examples."""

import math

import numpy as np

Z = 1.959964
"""97.5 % quantile of the standard normal distribution."""


def paired_difference(is_correct, is_other_correct):
    """Returns the interval of the accuracy of one classifier minus that of another on the same examples, (low, high).

    It is the adjusted Wald interval of Bonett and Price (2012), "Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data": examples on which both are right, or both wrong, say nothing, as in
    McNemar's test, and one example is added for each classifier on which it alone is right.

    Args:
        is_correct: bool (n,), whether the first classifier is right.
        is_other_correct: bool (n,), whether the second one is.
    """
    wins, losses = np.sum(is_correct & ~is_other_correct) + 1, np.sum(~is_correct & is_other_correct) + 1
    count = len(is_correct) + 2
    difference = (wins - losses) / count
    margin = Z * math.sqrt(((wins + losses) / count - difference**2) / count)
    return float(max(difference - margin, -1)), float(min(difference + margin, 1))


def bootstrap_difference(metric, counts, other_counts, resamples=1000):
    """Returns the interval of a metric of one model minus that of another on the same examples, (low, high).

    It is the percentile interval of the paired bootstrap (Efron and Tibshirani 1993, chapter 13), with a fixed seed.

    Args:
        metric: function of the sum of counts over examples, (k,), to a number.
        counts: int (n, k), counts of each example for the first model.
        other_counts: the same of the other model.
        resamples: number of samples of n examples.
    """
    generator, examples = np.random.default_rng(0), len(counts)
    both, differences = np.hstack([counts, other_counts]), []
    for _ in range(resamples):
        repeats = np.bincount(generator.integers(examples, size=examples), minlength=examples)
        own, other = np.split(repeats @ both, 2)
        differences.append(metric(own) - metric(other))
    return tuple(float(value) for value in np.quantile(differences, [0.025, 0.975]))


def difference(correct, count, other_correct, other_count):
    """Returns the interval of `correct` / `count` minus `other_correct` / `other_count`, (low, high), by counts alone.

    It is the hybrid score interval, method 10 of Newcombe (1998), "Interval estimation for the difference between
    independent proportions". If both are of the same examples, it is wider than that of `paired_difference`.
    """
    (low, p, high), (other_low, q, other_high) = _wilson(correct, count), _wilson(other_correct, other_count)
    return p - q - math.hypot(p - low, other_high - q), p - q + math.hypot(high - p, q - other_low)


def _wilson(correct, count):
    """Returns the lower end of Wilson's score interval of a proportion, the proportion, and the upper end."""
    p = correct / count
    center = (p + Z**2 / (2 * count)) / (1 + Z**2 / count)
    margin = Z * math.sqrt(p * (1 - p) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
    return center - margin, p, center + margin
