"""Metrics of language models."""

import math

import numpy as np
import pytest

from karpa_tf.metrics import language


def test_perplexity_is_the_exponential_of_the_loss_and_finite():
    assert language.perplexity(math.log(5)) == pytest.approx(5)
    assert math.isfinite(language.perplexity(1e9))


def test_the_unigram_baseline_predicts_by_frequency():
    counts = np.array([0, 6, 1, 0])  # With one added to each: 1, 7, 2 and 1 of 11.
    perplexity, accuracy = language.unigram_baseline(np.array([1, 1, 2, 3]), counts)
    assert perplexity == pytest.approx((7 * 7 * 2 * 1 / 11**4) ** -0.25)
    assert accuracy == 0.5


def test_the_unigram_perplexity_of_text_like_the_training_text_is_that_of_its_entropy():
    fractions = np.array([0.5, 0.25, 0.25])
    counts = (fractions * 1e6).astype(int)
    ids = np.repeat(np.arange(3), (fractions * 1000).astype(int))
    expected = np.exp(-(fractions * np.log(fractions)).sum())
    assert language.unigram_baseline(ids, counts)[0] == pytest.approx(expected, rel=0.01)


def test_bits_per_byte_do_not_depend_on_how_text_is_split():
    # " good" is 5 bytes, " go" and "od" 3 and 2: a text of probability 2 ** -10, in one token or in two.
    whole = language.bits_per_byte(10 * math.log(2), [0], ["good"])
    parts = language.bits_per_byte(5 * math.log(2), [0, 1], ["go", "##od"])
    assert whole == pytest.approx(2) and parts == pytest.approx(2)
    assert language.bits_per_byte(math.log(2), [0], ["é"]) == pytest.approx(1 / 3)
