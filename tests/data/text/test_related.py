"""Texts that belong together, their batches, and search by words."""

import itertools
import math

import numpy as np
import pytest

from karpa_tf.configs.embedder import EmbedderConfig
from karpa_tf.data.text.related import load_related_splits
from karpa_tf.data.text.related_batches import crop, make_evaluation_pair_batches, make_pair_batches
from karpa_tf.data.text.word_search import index_words, score_words
from karpa_tf.errors import UserError

ROWS = [np.array([2, *range(10 * index, 10 * index + 2 + index), 3], np.int32) for index in range(1, 8)]
NAMES = tuple("abcdefa")


def load(data, **flags):
    return load_related_splits(EmbedderConfig(data=data, validation_fraction=0.2, test_fraction=0.2, **flags))


@pytest.mark.parametrize(
    ("name", "content", "flags"),
    [
        ("faq.csv", "id,question,answer\n" + "".join(f"{i},why {i},so {i}\n" for i in range(20)), {}),
        ("faq.tsv", "".join(f"why {i}\tso {i}\n" for i in range(20)), {"text_field": "1", "pair_field": "2"}),
        ("faq.jsonl", "".join(f'{{"question": "why {i}", "answer": "so {i}"}}\n' for i in range(20)), {}),
    ],
)
def test_pairs_are_read_from_tables_without_a_label(tmp_path, name, content, flags):
    (tmp_path / name).write_text(content)
    splits = load(name, **({"text_field": "question", "pair_field": "answer"} | flags))
    assert {split: len(values) for split, values in splits.items()} == {"train": 13, "validation": 3, "test": 4}
    for split in splits.values():
        assert [text.replace("why", "so") for text in split.texts] == list(split.pairs)
    assert len({text for split in splits.values() for text in split.texts}) == 20


@pytest.mark.parametrize("name", ["texts.txt", "texts.csv", "texts.jsonl"])
def test_texts_alone_are_held_out_as_halves(tmp_path, name):
    texts = [f"one two {index} four five" for index in range(20)]
    form = {"texts.txt": "{}", "texts.csv": "{}", "texts.jsonl": '{{"text": "{}"}}'}[name]
    header = ["text"] if name == "texts.csv" else []
    (tmp_path / name).write_text("\n".join([*header, *map(form.format, [*texts, texts[0]])]) + "\n")
    splits = load(name)
    assert splits["train"].pairs == () and len(splits["train"]) == 13
    for split in ("validation", "test"):
        assert set(splits[split].texts) == {"one two"} and all(
            pair.endswith("four five") for pair in splits[split].pairs
        )
    held_out = [zip(splits[name].texts, splits[name].pairs, strict=True) for name in ("validation", "test")]
    whole = [" ".join(pair) for pairs in held_out for pair in pairs]
    assert sorted([*splits["train"].texts, *whole]) == sorted(texts)  # the copy is left out


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        ("question,answer\n", {"pair_field": "answer", "text_field": "question"}, "has no pairs of texts"),
        ("question,answer\na,b\n", {"pair_field": "reply", "text_field": "question"}, "no column reply"),
        ("text\na\na\n", {}, "has 1 text to train on"),
        ("number\n1\n", {"text_field": "text"}, "no column text"),
        ("question,answer\na,b\n", {}, "has 2 columns, none of which is named text or .*; select .* with --text-field"),
        ("a,b\n" + "x,yes\n" * 9, {"text_field": "a", "pair_field": "b"}, "the same text in --pair-field b everywhere"),
        ("text\na\n", {"encoding": "nope"}, "--encoding nope is unknown"),
    ],
)
def test_what_cannot_be_contrasted_is_refused(tmp_path, content, flags, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        load("a.csv", **flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"temperature": 0.0}, "--temperature must be above 0"),
        ({"batch_size": 1}, "--batch-size must be at least 2"),
        ({"label_smoothing": 0.1}, "need classes"),
        ({"jit": "on"}, "--jit on cannot be used here"),
    ],
)
def test_flags_that_contradict_the_task_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        EmbedderConfig(**flags)


def test_an_empty_test_file_takes_nothing_from_the_training_texts(tmp_path):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs/train.tsv").write_text("a\tb\n" + "".join(f"{i}\t{i}!\n" for i in range(10)))
    (tmp_path / "pairs/test.tsv").write_text("a\tb\n")
    splits = load("pairs", text_field="a", pair_field="b")
    assert {name: len(split) for name, split in splits.items()} == {"train": 8, "validation": 2}


def test_texts_without_spaces_are_halved_between_letters(tmp_path):
    (tmp_path / "zh.txt").write_text("\n".join(f"文字{index}試験" for index in range(10, 30)))
    test = load("zh.txt")["test"]
    assert len(test) == 4 and set(test.texts) <= {f"文字{index}" for index in (1, 2)}
    assert all(len(pair) == 3 and pair.endswith("試験") for pair in test.pairs)


def test_copies_are_told(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"sentence": "a b"}\n' * 3 + '{"sentence": "c d"}\n' * 2)
    assert len(load("a.jsonl")["train"]) == 2
    assert "3 copies of texts are left out." in capsys.readouterr().out


def test_a_crop_is_a_part_of_the_text_between_its_ends():
    text, lengths = np.array([2, *range(10, 30), 3]), set()
    for seed in range(200):
        part = crop(text, np.random.default_rng(seed))
        assert part[0] == 2 and part[-1] == 3
        assert (np.diff(part[1:-1]) == 1).all() and part[1] >= 10 and part[-2] < 30
        lengths.add(len(part) - 2)
    assert lengths == set(range(4, 17))
    assert crop(np.array([2, 7, 3]), np.random.default_rng(0)).tolist() == [2, 7, 3]


def read(batches, count):
    return list(itertools.islice(batches.as_numpy_iterator(), count))


@pytest.mark.parametrize("pair_rows", [None, ROWS[::-1]])
def test_batches_resume_at_any_step_and_hold_each_text_once_per_epoch(pair_rows):
    arguments = (ROWS, pair_rows, (NAMES, NAMES), 3, 5)
    batches, resumed = read(make_pair_batches(*arguments), 4), read(make_pair_batches(*arguments, first_step=2), 2)
    for (inputs, groups), (other, other_groups) in zip(batches[2:], resumed, strict=True):
        assert all((inputs[name] == other[name]).all() for name in inputs) and (groups == other_groups).all()
    first = np.concatenate([groups[:, 0] for _, groups in batches[:2]])
    assert len(first) == 6 and max(np.bincount(first)[1:]) == 1  # "a" may come twice
    if pair_rows is None:
        tokens, others = (batches[0][0][name] for name in ("token_ids", "pair_token_ids"))
        assert any(set(one) != set(two) for one, two in zip(tokens, others, strict=True))


def test_evaluation_has_every_pair_once_in_order():
    batches = read(make_evaluation_pair_batches(ROWS, ROWS[::-1], (NAMES, NAMES[::-1]), 3), 9)
    assert len(batches) == 3
    tokens = [row[row > 0].tolist() for inputs, _, _ in batches for row in inputs["pair_token_ids"]]
    assert tokens[:7] == [row.tolist() for row in ROWS[::-1]] and tokens[7:] == [ROWS[-1].tolist()] * 2
    _, groups, weights = batches[-1]
    assert groups.tolist() == [[0, 0], [-1, -1], [-1, -1]] and weights.tolist() == [1, 0, 0]


def test_bm25_is_that_of_its_formula_with_lucenes_idf():
    texts = ["the cat and the dog", "a cat", "日本の猫", ""]
    scores = score_words(index_words(texts), "The CAT ?")
    mean = (5 + 2 + 4 + 1) / 4  # an empty text counts as one word

    def score(text, count, documents, length):
        idf = math.log(1 + (4 - documents + 0.5) / (documents + 0.5))
        return idf * count / (count + 1.5 * (1 - 0.75 + 0.75 * length / mean))

    expected = [score(0, 2, 1, 5) + score(0, 1, 2, 5), score(1, 1, 2, 2)]
    np.testing.assert_allclose(scores, [*expected, 0, 0], rtol=1e-5)
    assert (score_words(index_words(texts), "猫") > 0).tolist() == [False, False, True, False]
    assert not score_words(index_words(texts), "").any()


def test_signs_are_no_words_beside_others_and_accents_are_the_same_however_they_are_encoded():
    index = index_words(["what? caf\u00e9", "???", "no sign at all"])
    assert not score_words(index, "zebra?").any()
    assert (score_words(index, "?") > 0).tolist() == [False, True, False]
    assert (score_words(index, "cafe\u0301!") > 0).tolist() == [True, False, False]
