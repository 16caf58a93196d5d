"""From documents to masked rows: nothing lost, nothing twice, nothing special that was only written."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from karpa_tf.data.text import token_cache
from karpa_tf.data.text.batches import count_rows, held_out_batches, held_out_pairs, masked_batches, pair_batches
from karpa_tf.data.text.corpus import Corpus
from karpa_tf.data.text.masking import make_masking
from karpa_tf.data.text.token_cache import Tokens, load_cached_tokens, load_cached_vocabulary
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary

ROOT = Path(__file__).parents[3]
WORDS = Vocabulary((*SPECIAL, *(f"w{i}" for i in range(95))))
PAD, UNK, CLS, SEP, MASK = range(5)
LENGTH = 10


def corpus(texts, name="corpus"):
    return Corpus(name, (name, *texts), lambda: iter(texts))


def numbered(count):
    """`Tokens` 5, 6, ..., with [SEP] after every 13th, each document as long."""
    ids = np.array([SEP if i % 14 == 13 else 5 + i % 95 for i in range(count)], np.uint16)
    return Tokens(ids, count // 14, np.bincount(ids, minlength=len(WORDS)), "numbered")


def unmasked(batch):
    """The rows of a batch with what was hidden put back, int (batch, length)."""
    rows = batch["token_ids"].copy()
    for row, positions, ids, weights in zip(
        rows, batch["mask_positions"], batch["mask_ids"], batch["mask_weights"], strict=True
    ):
        row[positions[weights > 0]] = ids[weights > 0]
    return rows


def test_documents_become_their_pieces_each_closed_by_sep():
    train, held_out = load_cached_tokens(corpus(["w0 w1", "w2 nothing", "w3"]), WORDS)
    assert train.ids.tolist() == [5, 6, SEP, 7, UNK, SEP, 8, SEP]
    assert train.documents == 3 and len(held_out) == 0
    assert train.counts[[5, 6, 7, 8, UNK, SEP]].tolist() == [1, 1, 1, 1, 1, 0]


def test_written_special_tokens_are_ordinary_text():
    letters = Vocabulary((*SPECIAL, "[", "]", "mask", "sep", "cls", "pad", "unk"))
    train, _ = load_cached_tokens(corpus(["[MASK] [SEP] [CLS] [PAD] [UNK]"]), letters)
    words = [letters.tokens[i] for i in train.ids]
    assert " ".join(words) == "[ mask ] [ sep ] [ cls ] [ pad ] [ unk ] [SEP]"


def test_which_documents_are_held_out_depends_on_their_text_alone():
    texts = [f"w{i % 95} w{i // 95}" for i in range(2000)]
    parts = [load_cached_tokens(corpus(some, name), WORDS, 0.1) for name, some in (("a", texts), ("b", texts[::-1]))]
    held = [
        {tuple(row) for row in np.split(part[1].ids, np.flatnonzero(part[1].ids == SEP) + 1)[:-1]} for part in parts
    ]
    assert held[0] == held[1] and 150 < len(held[0]) < 250
    assert parts[0][0].documents + parts[0][1].documents == 2000
    twice = load_cached_tokens(corpus([*texts, *texts], "c"), WORDS, 0.1)
    assert twice[1].documents == 2 * parts[0][1].documents


def test_the_second_start_reads_the_cache_and_another_vocabulary_does_not():
    asked = []

    def read():
        asked.append(1)
        return iter(["w0 W1 w2"])

    once = Corpus("c", ("c",), read)
    first, _ = load_cached_tokens(once, WORDS)
    second, _ = load_cached_tokens(once, WORDS)
    assert len(asked) == 1 and first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first.ids, second.ids)
    other, _ = load_cached_tokens(once, dataclasses.replace(WORDS, lowercase=False))
    assert len(asked) == 2 and other.ids.tolist() == [5, UNK, 7, SEP]


def test_a_large_corpus_gives_a_sample_to_the_vocabulary(monkeypatch):
    monkeypatch.setattr(token_cache, "SAMPLE", 100)
    texts = ["common words here"] * 30
    texts[1::3] = ["zzz zzz zzz"] * 10
    big = dataclasses.replace(corpus(texts), size=300)
    assert not any("z" in token for token in load_cached_vocabulary(big, 18, True, True).tokens)


def test_an_epoch_holds_every_row_once_and_rows_are_the_text():
    tokens, batch_size = numbered(320), 4
    masking = make_masking(WORDS, LENGTH)
    assert count_rows(tokens, LENGTH) == 40
    batches = list(masked_batches(tokens, LENGTH, masking, batch_size, seed=3).take(20).as_numpy_iterator())
    expected = {(CLS, *row, SEP) for row in tokens.ids.reshape(40, 8).tolist()}
    for epoch in (batches[:10], batches[10:]):
        rows = [tuple(row) for batch in epoch for row in unmasked(batch).tolist()]
        assert len(rows) == 40 and set(rows) == expected
    assert [b["token_ids"].tolist() for b in batches[:10]] != [b["token_ids"].tolist() for b in batches[10:]]
    assert all(batch["padding_mask"].all() for batch in batches)


@pytest.mark.parametrize("make", [masked_batches, pair_batches])
def test_any_step_can_be_the_first(make):
    tokens, masking = numbered(320), make_masking(WORDS, LENGTH)
    whole = list(make(tokens, LENGTH, masking, 4, seed=1).take(15).as_numpy_iterator())
    late = list(make(tokens, LENGTH, masking, 4, seed=1, first_step=11).take(4).as_numpy_iterator())
    for expected, found in zip(whole[11:], late, strict=True):
        assert expected.keys() == found.keys()
        for name in expected:
            np.testing.assert_array_equal(expected[name], found[name])
    other = next(make(tokens, LENGTH, masking, 4, seed=2).as_numpy_iterator())
    assert (other["token_ids"] != whole[0]["token_ids"]).any()


def test_held_out_text_is_measured_whole_and_masked_always_alike():
    tokens, masking = numbered(85), make_masking(WORDS, LENGTH, 0.4)
    first, again = (list(held_out_batches(tokens, LENGTH, masking, 4).as_numpy_iterator()) for _ in range(2))
    rows = np.concatenate([unmasked(batch) for batch in first])
    mask = np.concatenate([batch["padding_mask"] for batch in first])
    assert rows[:11, 1:-1].ravel()[:85].tolist() == tokens.ids.tolist()
    assert rows.shape == (12, LENGTH) and rows[10].tolist() == [CLS, *tokens.ids[80:].tolist(), SEP, 0, 0, 0]
    assert mask.sum(1).tolist() == [10] * 10 + [7, 2]
    assert first[-1]["mask_weights"][3].sum() == 0
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["token_ids"], other["token_ids"])


def test_pairs_are_what_follows_or_the_end_of_another_row_cut_inside_a_document():
    tokens, masking = numbered(17 * 200), make_masking(WORDS, 20)
    rows = {tuple(row): place for place, row in enumerate(tokens.ids.reshape(200, 17).tolist())}
    following, seen = 0, 0
    for batch in pair_batches(tokens, 20, masking, 20, seed=0).take(20).as_numpy_iterator():
        for row, segments, is_next in zip(unmasked(batch), batch["segment_ids"], batch["is_next"], strict=True):
            cut = int(np.argmax(segments)) - 1
            assert row[0] == CLS and row[cut] == SEP and row[-1] == SEP and (np.diff(segments) >= 0).all()
            first, second = row[1:cut].tolist(), row[cut + 1 : -1].tolist()
            assert len(first) >= 4 and len(second) >= 4 and first[-1] != SEP
            known = tuple(first + second) in rows
            seen += 1
            following += is_next
            if is_next:
                assert known and second[0] != SEP
            else:
                assert any(list(other[len(first) :]) == second for other in rows)
    assert abs(following - seen / 2) < 4 * np.sqrt(seen) / 2


def test_where_there_is_a_single_row_what_follows_always_does():
    for seed in range(8):
        (row,) = pair_batches(numbered(30), 20, make_masking(WORDS, 20), 1, seed).take(1).as_numpy_iterator()
        assert row["is_next"].tolist() == [1]


def test_every_held_out_pair_counts_once():
    tokens, masking = numbered(17 * 10), make_masking(WORDS, 20)
    batches = list(held_out_pairs(tokens, 20, masking, 4).as_numpy_iterator())
    assert sum(batch["row_weights"].sum() for batch in batches) == 10
    assert batches[-1]["mask_weights"][2:].sum() == 0 < batches[-1]["mask_weights"][:2].sum()


ALLOWED = 32 * 2**20
"""Bytes of memory beyond what the same work on a small corpus took."""

LIMITED = """
import resource, sys
from karpa_tf.data import token_cache
from karpa_tf.data.documents import find_corpus
from karpa_tf.data.text_batches import masked_batches
from karpa_tf.text.masking import make_masking

def data_size():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024

def work(name):
    corpus = find_corpus(name)
    vocabulary = token_cache.load_cached_vocabulary(corpus, 6000, True, True)
    tokens, _ = token_cache.load_cached_tokens(corpus, vocabulary)
    masking = make_masking(vocabulary, 128)
    for batch in masked_batches(tokens, 128, masking, 32, 0).take(200):
        pass
    return len(tokens)

token_cache.SAMPLE = 5 * 10**6
work("small.txt")
most = data_size() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
print(work("large.txt"))
try:
    bytearray(int(sys.argv[1]) * 2)
except MemoryError:
    print("limited")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_corpus_ten_times_the_allowed_memory_is_learned_from():
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(5000)]
    lines = [" ".join(rng.choice(words, 80)) + "\n\n" for _ in range(5000)]
    Path("small.txt").write_text("".join(lines))
    with open("large.txt", "w") as file:
        while file.tell() < 10 * ALLOWED:
            file.writelines(rng.permutation(lines))
    # Threads' stacks count as data, at the size that this limit gives them.
    words = f"ulimit -S -s 1024; exec {sys.executable} -c '{LIMITED}' {ALLOWED}"
    done = subprocess.run(
        ["sh", "-c", words], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count, limited = done.stdout.split()
    assert int(count) > 10 * ALLOWED / 8 and limited == "limited"
