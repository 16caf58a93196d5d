"""Which tokens are hidden, how many, and how."""

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.data.text.masking import make_masking, mask_tokens
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL, *(f"{'##' if i % 3 == 0 else ''}t{i}" for i in range(995))))
LENGTH = 128
MASK = VOCABULARY.tokens.index("[MASK]")


def rows(count, seed=0, length=LENGTH):
    """int32 (count, length): [CLS], tokens, [SEP], and padding in some."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(len(SPECIAL), len(VOCABULARY), (count, length)).astype(np.int32)
    ids[:, 0] = 2
    for row in ids:
        end = rng.integers(length // 2, length) if rng.random() < 0.3 else length - 1
        row[end], row[end + 1 :] = 3, 0
    return ids


def masked(ids, units="tokens", rate=0.15, seed=(1, 2)):
    masking = make_masking(VOCABULARY, ids.shape[1], rate, units)
    return {name: value.numpy() for name, value in mask_tokens(tf.constant(ids), masking, tf.constant(seed)).items()}


def hidden_places(ids, found):
    """bool (batch, length): the places that are to be predicted."""
    places = np.zeros(ids.shape, bool)
    for row, positions, weights in zip(places, found["mask_positions"], found["mask_weights"], strict=True):
        chosen = positions[weights == 1]
        assert len(set(chosen)) == len(chosen)
        row[chosen] = True
    return places


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_rates_over_a_million_tokens_are_within_three_standard_errors(rate):
    ids = rows(9000)
    n = (ids >= len(SPECIAL)).sum()
    assert n > 1_000_000
    found = masked(ids, rate=rate)
    hidden = hidden_places(ids, found)
    chosen = hidden.sum()
    # The number in a row is rounded by chance: its variance is at most a quarter; a row's cap can take a little off.
    assert abs(chosen - rate * n) < 3 * np.sqrt(len(ids) / 4) + 0.0
    shown, original = found["token_ids"][hidden], ids[hidden]
    for share, count in ((0.8, (shown == MASK).sum()), (0.1 + 0.1 / 995, (shown == original).sum())):
        assert abs(count - share * chosen) < 3 * np.sqrt(chosen * share * (1 - share))
    others = shown[(shown != MASK) & (shown != original)]
    assert others.min() >= len(SPECIAL)
    counts = np.bincount(others, minlength=1000)[len(SPECIAL) :]
    assert abs(counts.std() / np.sqrt(counts.mean()) - 1) < 0.1  # as spread as counts drawn evenly are


@pytest.mark.parametrize("units", ["tokens", "words", "spans"])
def test_special_tokens_are_never_hidden_and_all_others_stay_as_they_are(units):
    ids = rows(300)
    found = masked(ids, units)
    hidden = hidden_places(ids, found)
    assert (ids[hidden] >= len(SPECIAL)).all()
    np.testing.assert_array_equal(found["token_ids"][~hidden], ids[~hidden])
    weights = found["mask_weights"] == 1
    np.testing.assert_array_equal(
        found["mask_ids"][weights], np.take_along_axis(ids, found["mask_positions"], 1)[weights]
    )
    assert (found["mask_ids"][~weights] == 0).all() and (found["mask_positions"][~weights] == 0).all()


def test_every_place_is_hidden_alike_often():
    ids = rows(4000)
    ids[:, 1:-1] = 7
    ids[:, -1] = 3
    share = hidden_places(ids, masked(ids)).mean(0)
    assert share[0] == share[-1] == 0
    assert np.abs(share[1:-1] - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 4000)


def test_words_are_hidden_whole_or_not_at_all():
    ids = rows(500)
    hidden = hidden_places(ids, masked(ids, "words"))
    continues = np.array([token.startswith("##") for token in VOCABULARY.tokens])[ids]
    continues[:, 1] = False  # what follows [CLS] begins a word of the row
    inside = continues[:, 2:] & (ids[:, 1:-1] >= len(SPECIAL))
    np.testing.assert_array_equal(hidden[:, 2:][inside], hidden[:, 1:-1][inside])
    assert 0.13 < hidden.sum() / (ids >= len(SPECIAL)).sum() < 0.15


def test_spans_have_the_lengths_of_their_paper_and_stay_whole():
    ids = np.full((3000, LENGTH), 9, np.int32)
    ids[:, [0, -1]] = (2, 3)
    hidden = hidden_places(ids, masked(ids, "spans"))
    edges = np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1)
    lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    # Geometric with p = 0.2, cut at ten: (1 - 0.8 ** 10) / 0.2 = 4.46 on the average; runs of neighbors are longer,
    # and long spans fit less often into what is left of a row.
    assert 3.3 < lengths.mean() < 5.6
    assert 0.11 < hidden[:, 1:-1].mean() <= 0.15


def test_same_seed_same_mask_and_another_seed_another():
    ids = rows(20)
    one, same, other = (masked(ids, seed=seed) for seed in ((1, 2), (1, 2), (1, 3)))
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
    assert (one["mask_positions"] != other["mask_positions"]).any()


def test_rows_with_little_or_nothing_to_hide_are_left_in_peace():
    ids = np.array([[2, 3, 0, 0], [2, 7, 3, 0]], np.int32)
    found = masked(ids, rate=0.5)
    assert found["mask_weights"][0].sum() == 0 and found["token_ids"][0].tolist() == [2, 3, 0, 0]
    assert found["mask_weights"][1].sum() <= 1
