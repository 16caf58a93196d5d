"""Batches of similar length: every text once per epoch, little padding, nothing sorted beyond a batch."""

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.data.text import similar_lengths
from karpa_tf.data.text.similar_lengths import shuffle_similar_lengths

COUNT, SIZE = 300, 4
LENGTHS = np.random.default_rng(0).permutation(np.arange(COUNT) // 3)


def epochs(count, seed=1):
    """Returns the indices of the texts, (count, batches, SIZE)."""
    steps = COUNT // SIZE
    shuffle = tf.function(lambda step: shuffle_similar_lengths(step, LENGTHS, SIZE, seed))
    return np.array([shuffle(tf.constant(step, tf.int64)) for step in range(count * steps)]).reshape(count, steps, SIZE)


@pytest.mark.parametrize("pool", [1, 7, 32, 1000])  # one, 75 batches in parts, parts of 32, 32 and 11, and all at once
def test_an_epoch_has_every_text_once(monkeypatch, pool):
    monkeypatch.setattr(similar_lengths, "POOL", pool)
    first, second = epochs(2).reshape(2, -1)
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert (first != second).any()


def test_batches_are_of_similar_length_and_in_random_order():
    (first, second), (other, _) = epochs(2), epochs(2, seed=2)
    spreads = np.ptp(LENGTHS[first], axis=1)
    # 128 sorted texts of lengths up to 99 differ by 3 within 4 neighbors; 4 random ones by 60.
    assert spreads.mean() < 6
    means = [LENGTHS[epoch][:32].mean(axis=1) for epoch in (first, second, other)]
    for order in means:
        assert 0.25 < np.mean(np.diff(order) > 0) < 0.75  # neither rising nor falling
    ranks = [tuple(np.argsort(order)) for order in means]
    assert len(set(ranks)) == 3  # of the epochs and of the seeds


def test_the_batches_of_every_pool_are_in_another_order():
    lengths = np.random.default_rng(0).permutation(16 * 32)  # 16 pools of 32 batches of one text
    steps = tf.range(len(lengths), dtype=tf.int64)
    texts = tf.map_fn(lambda step: shuffle_similar_lengths(step, lengths, 1, 0), steps).numpy()
    assert len({tuple(np.argsort(pool)) for pool in lengths[texts].reshape(16, 32)}) == 16


@pytest.mark.parametrize("lengths", [np.ones(40, int), 512 + np.arange(40)], ids=["equal", "long"])
def test_texts_of_equal_length_and_long_texts_are_in_random_batches(monkeypatch, lengths):
    monkeypatch.setattr(similar_lengths, "POOL", 1000)
    shuffle = tf.function(lambda step: shuffle_similar_lengths(step, lengths, 4, 0))
    companions = [{*np.array(shuffle(tf.constant(step, tf.int64)))} for step in range(20)]
    with_0 = [texts - {0} for texts in companions if 0 in texts]
    assert len(with_0) == 2 and with_0[0] != with_0[1]
    # Were they sorted, the texts of a batch would be neighbors.
    assert np.mean([max(texts) - min(texts) for texts in companions]) > 10
