"""Which tokens are masked, how many, and by what they are replaced."""

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.data.text.masking import make_masking, mask_tokens
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL, *(f"{'##' if i % 3 == 0 else ''}t{i}" for i in range(995))))
LENGTH = 128
MASK = VOCABULARY.tokens.index("[MASK]")


def make_rows(count, seed=0, length=LENGTH):
    """Returns int32 (count, length): [CLS], tokens, [SEP], and padding in some of the rows."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(len(SPECIAL), len(VOCABULARY), (count, length)).astype(np.int32)
    ids[:, 0] = 2
    for row in ids:
        end = rng.integers(length // 2, length) if rng.random() < 0.3 else length - 1
        row[end], row[end + 1 :] = 3, 0
    return ids


def mask(ids, units="tokens", rate=0.15, seed=(1, 2)):
    masking = make_masking(VOCABULARY, ids.shape[1], rate, units)
    return {name: value.numpy() for name, value in mask_tokens(tf.constant(ids), masking, tf.constant(seed)).items()}


def find_masked(ids, result):
    """Returns bool (batch, length): whether each token is to be predicted."""
    is_masked = np.zeros(ids.shape, bool)
    for row, positions, weights in zip(is_masked, result["mask_positions"], result["mask_weights"], strict=True):
        selected = positions[weights == 1]
        assert len(set(selected)) == len(selected)
        row[selected] = True
    return is_masked


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_rates_over_a_million_tokens_are_within_three_standard_errors(rate):
    ids = make_rows(9000)
    n = (ids >= len(SPECIAL)).sum()
    assert n > 1_000_000
    result = mask(ids, rate=rate)
    is_masked = find_masked(ids, result)
    num_masked = is_masked.sum()
    # The number in a row is rounded randomly, so that its variance is at most 1/4.
    assert abs(num_masked - rate * n) < 3 * np.sqrt(len(ids) / 4)
    inputs, originals = result["token_ids"][is_masked], ids[is_masked]
    for fraction, count in ((0.8, (inputs == MASK).sum()), (0.1 + 0.1 / 995, (inputs == originals).sum())):
        assert abs(count - fraction * num_masked) < 3 * np.sqrt(num_masked * fraction * (1 - fraction))
    random_ids = inputs[(inputs != MASK) & (inputs != originals)]
    assert random_ids.min() >= len(SPECIAL)
    counts = np.bincount(random_ids, minlength=1000)[len(SPECIAL) :]
    assert abs(counts.std() / np.sqrt(counts.mean()) - 1) < 0.1  # counts of uniform samples


@pytest.mark.parametrize("units", ["tokens", "words", "spans"])
def test_special_tokens_are_never_masked_and_other_tokens_stay_the_same(units):
    ids = make_rows(300)
    result = mask(ids, units)
    is_masked = find_masked(ids, result)
    assert (ids[is_masked] >= len(SPECIAL)).all()
    np.testing.assert_array_equal(result["token_ids"][~is_masked], ids[~is_masked])
    weights = result["mask_weights"] == 1
    np.testing.assert_array_equal(
        result["mask_ids"][weights], np.take_along_axis(ids, result["mask_positions"], 1)[weights]
    )
    assert (result["mask_ids"][~weights] == 0).all() and (result["mask_positions"][~weights] == 0).all()


def test_every_position_is_masked_equally_often():
    ids = make_rows(4000)
    ids[:, 1:-1] = 7
    ids[:, -1] = 3
    rate = find_masked(ids, mask(ids)).mean(0)
    assert rate[0] == rate[-1] == 0
    assert np.abs(rate[1:-1] - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 4000)


def test_words_are_masked_completely_or_not_at_all():
    ids = make_rows(500)
    is_masked = find_masked(ids, mask(ids, "words"))
    is_continuation = np.array([token.startswith("##") for token in VOCABULARY.tokens])[ids]
    is_continuation[:, 1] = False  # the token after [CLS] starts a word of the row
    same_word = is_continuation[:, 2:] & (ids[:, 1:-1] >= len(SPECIAL))
    np.testing.assert_array_equal(is_masked[:, 2:][same_word], is_masked[:, 1:-1][same_word])
    assert 0.13 < is_masked.sum() / (ids >= len(SPECIAL)).sum() < 0.15


def test_spans_have_the_lengths_of_their_paper():
    ids = np.full((3000, LENGTH), 9, np.int32)
    ids[:, [0, -1]] = (2, 3)
    is_masked = find_masked(ids, mask(ids, "spans"))
    edges = np.diff(np.pad(is_masked, ((0, 0), (1, 1))).astype(int), axis=1)
    lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    # Geometric with p = 0.2, clipped at 10: the mean is (1 - 0.8 ** 10) / 0.2 = 4.46. Adjacent spans are longer, and
    # long spans exceed the number of masks of a row more often.
    assert 3.3 < lengths.mean() < 5.6
    assert 0.11 < is_masked[:, 1:-1].mean() <= 0.15


def test_masks_depend_on_the_seed_only():
    ids = make_rows(20)
    one, same, other = (mask(ids, seed=seed) for seed in ((1, 2), (1, 2), (1, 3)))
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
    assert (one["mask_positions"] != other["mask_positions"]).any()


def test_rows_with_few_or_no_tokens_have_few_or_no_masks():
    ids = np.array([[2, 3, 0, 0], [2, 7, 3, 0]], np.int32)
    result = mask(ids, rate=0.5)
    assert result["mask_weights"][0].sum() == 0 and result["token_ids"][0].tolist() == [2, 3, 0, 0]
    assert result["mask_weights"][1].sum() <= 1
