"""The token cache, and batches of masked rows for training and evaluation."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from karpa_tf.data.text import token_cache
from karpa_tf.data.text.batches import (
    count_rows,
    make_held_out_batches,
    make_held_out_pair_batches,
    make_masked_batches,
    make_pair_batches,
)
from karpa_tf.data.text.corpus import Corpus
from karpa_tf.data.text.masking import make_masking
from karpa_tf.data.text.token_cache import Tokens, load_cached_tokens, load_cached_vocabulary
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary

ROOT = Path(__file__).parents[3]
VOCABULARY = Vocabulary((*SPECIAL, *(f"w{i}" for i in range(95))))
PAD, UNK, CLS, SEP, MASK = range(5)
LENGTH = 10


def make_corpus(texts, name="corpus"):
    return Corpus(name, (name, *texts), lambda: iter(texts))


def make_tokens(count):
    """Returns `Tokens` 5, 6, ... of documents of 13 tokens."""
    ids = np.array([SEP if i % 14 == 13 else 5 + i % 95 for i in range(count)], np.uint16)
    return Tokens(ids, count // 14, np.bincount(ids, minlength=len(VOCABULARY)), "0")


def unmask(batch):
    """Returns the rows of a batch before masking, int (batch, length)."""
    rows = batch["token_ids"].copy()
    for row, positions, ids, weights in zip(
        rows, batch["mask_positions"], batch["mask_ids"], batch["mask_weights"], strict=True
    ):
        row[positions[weights > 0]] = ids[weights > 0]
    return rows


def test_documents_are_tokenized_and_followed_by_sep():
    train, held_out = load_cached_tokens(make_corpus(["w0 w1", "w2 nothing", "w3"]), VOCABULARY)
    assert train.ids.tolist() == [5, 6, SEP, 7, UNK, SEP, 8, SEP]
    assert train.num_documents == 3 and len(held_out) == 0
    assert train.counts[[5, 6, 7, 8, UNK, SEP]].tolist() == [1, 1, 1, 1, 1, 0]


def test_special_tokens_in_text_are_ordinary_text():
    vocabulary = Vocabulary((*SPECIAL, "[", "]", "mask", "sep", "cls", "pad", "unk"))
    train, _ = load_cached_tokens(make_corpus(["[MASK] [SEP] [CLS] [PAD] [UNK]"]), vocabulary)
    assert " ".join(vocabulary.tokens[i] for i in train.ids) == "[ mask ] [ sep ] [ cls ] [ pad ] [ unk ] [SEP]"


def test_held_out_documents_depend_only_on_their_text():
    texts = [f"w{i % 95} w{i // 95}" for i in range(2000)]
    train, held_out = load_cached_tokens(make_corpus(texts, "a"), VOCABULARY, 0.1)
    _, reversed_held_out = load_cached_tokens(make_corpus(texts[::-1], "b"), VOCABULARY, 0.1)
    one, other = (
        {tuple(document) for document in np.split(tokens.ids, np.flatnonzero(tokens.ids == SEP) + 1)[:-1]}
        for tokens in (held_out, reversed_held_out)
    )
    assert one == other and 150 < len(one) < 250
    assert train.num_documents + held_out.num_documents == 2000
    _, duplicated_held_out = load_cached_tokens(make_corpus([*texts, *texts], "c"), VOCABULARY, 0.1)
    assert duplicated_held_out.num_documents == 2 * held_out.num_documents


def test_tokens_are_read_from_the_cache_unless_the_vocabulary_changes():
    reads = []

    def read():
        reads.append(1)
        return iter(["w0 W1 w2"])

    corpus = Corpus("c", ("c",), read)
    first, _ = load_cached_tokens(corpus, VOCABULARY)
    second, _ = load_cached_tokens(corpus, VOCABULARY)
    assert len(reads) == 1 and first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first.ids, second.ids)
    other, _ = load_cached_tokens(corpus, dataclasses.replace(VOCABULARY, lowercase=False))
    assert len(reads) == 2 and other.ids.tolist() == [5, UNK, 7, SEP]


def test_the_vocabulary_of_a_large_corpus_is_trained_on_a_subset(monkeypatch):
    monkeypatch.setattr(token_cache, "MAX_TRAINING_BYTES", 100)
    texts = ["common words here"] * 30
    texts[1::3] = ["zzz zzz zzz"] * 10
    corpus = dataclasses.replace(make_corpus(texts), size=300)
    assert not any("z" in token for token in load_cached_vocabulary(corpus, 18, True, True).tokens)


def test_an_epoch_has_every_row_of_the_text_once():
    tokens, batch_size = make_tokens(320), 4
    masking = make_masking(VOCABULARY, LENGTH)
    assert count_rows(tokens, LENGTH) == 40
    batches = list(make_masked_batches(tokens, LENGTH, masking, batch_size, seed=3).take(20).as_numpy_iterator())
    expected = {(CLS, *row, SEP) for row in tokens.ids.reshape(40, 8).tolist()}
    for epoch in (batches[:10], batches[10:]):
        rows = [tuple(row) for batch in epoch for row in unmask(batch).tolist()]
        assert len(rows) == 40 and set(rows) == expected
    assert [b["token_ids"].tolist() for b in batches[:10]] != [b["token_ids"].tolist() for b in batches[10:]]
    assert all(batch["padding_mask"].all() for batch in batches)


@pytest.mark.parametrize("make_batches", [make_masked_batches, make_pair_batches])
def test_any_step_can_be_the_first(make_batches):
    tokens, masking = make_tokens(320), make_masking(VOCABULARY, LENGTH)
    batches = list(make_batches(tokens, LENGTH, masking, 4, seed=1).take(15).as_numpy_iterator())
    resumed = list(make_batches(tokens, LENGTH, masking, 4, seed=1, first_step=11).take(4).as_numpy_iterator())
    for expected, batch in zip(batches[11:], resumed, strict=True):
        assert expected.keys() == batch.keys()
        for name in expected:
            np.testing.assert_array_equal(expected[name], batch[name])
    other = next(make_batches(tokens, LENGTH, masking, 4, seed=2).as_numpy_iterator())
    assert (other["token_ids"] != batches[0]["token_ids"]).any()


def test_held_out_batches_have_all_rows_and_always_the_same_masks():
    tokens, masking = make_tokens(85), make_masking(VOCABULARY, LENGTH, 0.4)
    first, second = (list(make_held_out_batches(tokens, LENGTH, masking, 4).as_numpy_iterator()) for _ in range(2))
    rows = np.concatenate([unmask(batch) for batch in first])
    padding_mask = np.concatenate([batch["padding_mask"] for batch in first])
    assert rows[:11, 1:-1].ravel()[:85].tolist() == tokens.ids.tolist()
    assert rows.shape == (12, LENGTH) and rows[10].tolist() == [CLS, *tokens.ids[80:].tolist(), SEP, 0, 0, 0]
    assert padding_mask.sum(1).tolist() == [10] * 10 + [7, 2]
    assert first[-1]["mask_weights"][3].sum() == 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one["token_ids"], other["token_ids"])


@pytest.mark.parametrize("make", [make_held_out_batches, make_held_out_pair_batches])
def test_the_masks_of_held_out_text_do_not_depend_on_the_size_of_batches(make):
    tokens, masking = make_tokens(17 * 70), make_masking(VOCABULARY, 20, 0.4)
    rows = []
    for batch_size in (1, 24, 32, 100):
        batches = make(tokens, 20, masking, batch_size)
        assert len(batches) == len(list(batches))
        found = list(batches.as_numpy_iterator())
        assert sum(batch["mask_weights"].sum() for batch in found) > 400
        assert np.concatenate([batch["mask_weights"] for batch in found])[70:].sum() == 0
        rows.append(np.concatenate([batch["token_ids"] for batch in found])[:66])  # complete rows of both kinds
    for other in rows[1:]:
        np.testing.assert_array_equal(other, rows[0])


def test_the_second_segment_follows_within_the_document_or_is_the_end_of_another_row():
    tokens, masking = make_tokens(17 * 200), make_masking(VOCABULARY, 20)
    rows = {tuple(row) for row in tokens.ids.reshape(200, 17).tolist()}
    num_next = num_pairs = 0
    for batch in make_pair_batches(tokens, 20, masking, 20, seed=0).take(20).as_numpy_iterator():
        for row, segments, is_next in zip(unmask(batch), batch["segment_ids"], batch["is_next"], strict=True):
            sep = int(np.argmax(segments)) - 1
            assert row[0] == CLS and row[sep] == SEP and row[-1] == SEP and (np.diff(segments) >= 0).all()
            first, second = row[1:sep].tolist(), row[sep + 1 : -1].tolist()
            assert len(first) >= 4 and len(second) >= 4 and first[-1] != SEP
            num_pairs += 1
            num_next += is_next
            if is_next:
                assert tuple(first + second) in rows and second[0] != SEP
            else:
                assert any(list(other[len(first) :]) == second for other in rows)
    assert abs(num_next - num_pairs / 2) < 4 * np.sqrt(num_pairs) / 2


def test_in_a_single_row_the_second_segment_always_follows():
    for seed in range(8):
        (row,) = (
            make_pair_batches(make_tokens(30), 20, make_masking(VOCABULARY, 20), 1, seed).take(1).as_numpy_iterator()
        )
        assert row["is_next"].tolist() == [1]


def test_every_held_out_pair_has_weight_1_once():
    tokens, masking = make_tokens(17 * 10), make_masking(VOCABULARY, 20)
    batches = list(make_held_out_pair_batches(tokens, 20, masking, 4).as_numpy_iterator())
    assert sum(batch["row_weights"].sum() for batch in batches) == 10
    assert batches[-1]["mask_weights"][2:].sum() == 0 < batches[-1]["mask_weights"][:2].sum()


MEMORY_LIMIT = 32 * 2**20
"""Bytes of memory beyond those used for a small corpus."""

PROGRAM = """
import resource, sys
from karpa_tf.data.text import token_cache
from karpa_tf.data.text.batches import make_masked_batches
from karpa_tf.data.text.corpus import find_corpus
from karpa_tf.data.text.masking import make_masking

def get_data_size():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024

def read_batches(name):
    corpus = find_corpus(name)
    vocabulary = token_cache.load_cached_vocabulary(corpus, 6000, True, True)
    tokens, _ = token_cache.load_cached_tokens(corpus, vocabulary)
    masking = make_masking(vocabulary, 128)
    for batch in make_masked_batches(tokens, 128, masking, 32, 0).take(200):
        pass
    return len(tokens)

token_cache.MAX_TRAINING_BYTES = 5 * 10**6
read_batches("small.txt")
limit = get_data_size() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(read_batches("large.txt"))
try:
    bytearray(int(sys.argv[1]) * 2)
except MemoryError:
    print("limited")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits memory maps on Linux only")
def test_a_corpus_of_ten_times_the_memory_limit_can_be_trained_on():
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(5000)]
    lines = [" ".join(rng.choice(words, 80)) + "\n\n" for _ in range(5000)]
    Path("small.txt").write_text("".join(lines))
    with open("large.txt", "w") as file:
        while file.tell() < 10 * MEMORY_LIMIT:
            file.writelines(rng.permutation(lines))
    # The stacks of threads count as data, with the size set here.
    command = f"ulimit -S -s 1024; exec {sys.executable} -c '{PROGRAM}' {MEMORY_LIMIT}"
    result = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert result.returncode == 0, result.stderr[-2000:]
    count, limited = result.stdout.split()
    assert int(count) > 10 * MEMORY_LIMIT / 8 and limited == "limited"
