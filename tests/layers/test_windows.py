"""Texts in overlapping windows, against loops."""

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.layers.windows import MergeWindows, PoolWindows, SplitWindows
from karpa_tf.models.bert import make_tagger, make_text_classifier

LENGTHS = (1, 7, 8, 9, 14, 15, 23)


def make_rows(lengths):
    """Returns token ids from 1 on, different in every row, and their mask, padded to the longest."""
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return np.where(mask, np.arange(max(lengths)) + 1 + 100 * np.arange(len(lengths))[:, None], 0).astype(
        np.int32
    ), mask


def split_by_loop(ids, length, window_length, overlap):
    """Returns the windows of the first `length` ids, and for each which of its ids are new."""
    windows, start, read = [], 0, 0
    while read < length:
        window = ids[start : min(start + window_length, length)]
        windows.append((window, [start + index >= read for index in range(len(window))]))
        read = start + len(window)
        start += window_length - overlap
    return windows


@pytest.mark.parametrize(("window_length", "overlap"), [(8, 2), (8, 0), (5, 4), (40, 10)])
@pytest.mark.parametrize("lengths", [LENGTHS, (3,), (8, 8)])
def test_windows_are_those_of_a_loop(lengths, window_length, overlap):
    ids, mask = make_rows(lengths)
    token_ids, padding_mask, is_new, text_index = SplitWindows(window_length, overlap)(ids, mask)
    expected = [
        (row, *window)
        for row, length in enumerate(lengths)
        for window in split_by_loop(ids[row], length, window_length, overlap)
    ]
    assert token_ids.shape[1] == min(window_length, max(lengths))
    assert text_index.numpy().tolist() == [row for row, *_ in expected]
    for index, (_, window, new) in enumerate(expected):
        np.testing.assert_array_equal(token_ids[index][padding_mask[index]], window)
        np.testing.assert_array_equal(is_new[index][padding_mask[index]], new)
    seen = np.concatenate([token_ids[index][is_new[index]] for index in range(len(expected))])
    np.testing.assert_array_equal(seen, ids[mask])


def test_features_are_averaged_over_every_token_once():
    ids, mask = make_rows(LENGTHS)
    token_ids, _, is_new, text_index = SplitWindows(8, 2)(ids, mask)
    features = tf.stack([tf.cast(token_ids, tf.bfloat16) * 0 + 1, tf.cast(token_ids % 100, tf.bfloat16)], axis=-1)
    pooled = PoolWindows()(features, is_new, text_index, ids)
    assert pooled.dtype == tf.float32
    np.testing.assert_allclose(pooled, [[1, (length + 1) / 2] for length in LENGTHS], rtol=1e-6)


@pytest.mark.parametrize(("window_length", "overlap"), [(8, 2), (8, 3), (8, 0), (5, 4), (40, 10)])
@pytest.mark.parametrize("lengths", [LENGTHS, (3,), (8, 8)])
def test_the_middle_of_an_overlap_decides_which_window_a_token_is_taken_from(lengths, window_length, overlap):
    ids, mask = make_rows(lengths)
    token_ids, window_mask, _, text_index = SplitWindows(window_length, overlap)(ids, mask)
    window = tf.broadcast_to(tf.range(tf.shape(token_ids)[0])[:, None], tf.shape(token_ids))
    column = tf.broadcast_to(tf.range(tf.shape(token_ids)[1])[None], tf.shape(token_ids))
    features = tf.cast(tf.stack([token_ids, window, column], axis=-1), tf.float32)
    merged = MergeWindows(overlap)(features, window_mask, text_index, mask).numpy()
    np.testing.assert_array_equal(merged[..., 0], ids)
    stride, first_window = window_length - overlap, 0
    for row, length in enumerate(lengths):
        count = (text_index.numpy() == row).sum()
        for token in range(length):
            # The middle of the overlap decides, up to the last window of the text.
            index = 0
            while index < count - 1 and token >= index * stride + window_length - overlap + overlap // 2:
                index += 1
            assert merged[row, token, 1:].tolist() == [first_window + index, token - index * stride]
        first_window += count


CONFIG = BERTConfig(max_sequence_length=8, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=8, dropout=0.0)


def make_pair():
    """Returns a classifier that reads windows, and one of the same weights that does not."""
    windows, cut = make_text_classifier(CONFIG, 900, 3, window_length=8), make_text_classifier(CONFIG, 900, 3)
    rng = np.random.default_rng(0)
    cut.set_weights([rng.normal(size=weight.shape) for weight in cut.weights])
    windows.set_weights(cut.get_weights())
    return windows, cut


def test_short_texts_have_the_logits_of_a_model_without_windows():
    windows, cut = make_pair()
    ids, mask = make_rows((8, 3, 1))
    batch = {"token_ids": ids, "padding_mask": mask}
    np.testing.assert_allclose(windows(batch), cut(batch), atol=1e-5)


def test_the_logits_of_a_text_depend_on_all_of_its_tokens_and_on_no_other_text():
    windows, _ = make_pair()
    ids, mask = make_rows(LENGTHS)
    logits = windows({"token_ids": ids, "padding_mask": mask}).numpy()
    for row, length in enumerate(LENGTHS):
        alone = {"token_ids": ids[row : row + 1, :length], "padding_mask": mask[row : row + 1, :length]}
        np.testing.assert_allclose(windows(alone), logits[row : row + 1], atol=1e-5)
        changed = ids[row : row + 1, :length].copy()
        changed[0, -1] = 1 if changed[0, -1] != 1 else 2
        assert np.abs(windows(alone | {"token_ids": changed}) - logits[row]).max() > 1e-4


def test_a_tagger_with_windows_is_that_without_them_for_short_texts_and_reads_long_ones():
    windows, cut = make_tagger(CONFIG, 900, 5, window_length=8), make_tagger(CONFIG, 900, 5)
    rng = np.random.default_rng(0)
    cut.set_weights([rng.normal(size=weight.shape) for weight in cut.weights])
    windows.set_weights(cut.get_weights())
    ids, mask = make_rows((8, 3, 1))
    batch = {"token_ids": ids, "padding_mask": mask, "word_positions": np.array([[1, 3, 7], [2, 0, 0], [0, 0, 0]])}
    np.testing.assert_allclose(windows(batch), cut(batch), atol=1e-5)
    ids, mask = make_rows((23, 9))
    positions = np.array([np.arange(23), [*range(9), *[0] * 14]])
    logits = windows({"token_ids": ids, "padding_mask": mask, "word_positions": positions}).numpy()
    assert logits.shape == (2, 23, 5)
    # Window 2 of the first text holds its tokens 6 to 13, and is used from 7 to 12.
    alone = {"token_ids": ids[:1, 6:14], "padding_mask": mask[:1, 6:14], "word_positions": np.arange(8)[None]}
    shifted = cut(alone).numpy()[0]
    np.testing.assert_allclose(logits[0, 7:13], shifted[1:7], atol=1e-5)


def test_gradients_reach_tokens_of_the_last_window():
    windows, _ = make_pair()
    ids, mask = make_rows((23,))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(windows({"token_ids": ids, "padding_mask": mask}) ** 2)
    gradient = tf.convert_to_tensor(tape.gradient(loss, windows.get_layer("token_embedding").embeddings.value)).numpy()
    assert set(np.flatnonzero(np.abs(gradient).max(axis=1))) == set(ids[0])
