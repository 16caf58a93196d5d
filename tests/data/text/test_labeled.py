"""Texts with classes: tables, JSON lines, folders; their parts, and their batches."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from karpa_tf.data.text.labeled import Columns, load_text_splits
from karpa_tf.data.text.labeled_batches import evaluation_text_batches, labeled_text_batches, token_rows
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.errors import UserError

ROWS = [("good, very good", "1"), ('"bad" it was', "0"), ("Ünïcödé", "1"), ("two\nlines", "0")] * 5


def write_csv(path, header=("id", "Text", "Label")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows((number, text, label) for number, (text, label) in enumerate(ROWS))


def read(part):
    return [(text, part.classes[label]) for text, label in zip(part.texts, part.labels, strict=True)]


def whole(data, columns=Columns()):  # noqa: B008
    (part,) = load_text_splits(data, columns, 0, 0).values()
    return read(part)


def test_a_table_is_read_by_the_names_of_its_columns():
    write_csv("a.csv")
    assert whole("a.csv") == ROWS
    write_csv("b.csv", ("sentiment", "body", "stars"))
    assert whole("b.csv", Columns("body", "stars")) == ROWS


def test_a_table_without_names_has_the_text_first_and_the_class_last():
    Path("a.tsv").write_text('"quoted word\tpos\nplain\tneg\n\n'.replace("\n\n", "\n"))
    assert whole("a.tsv") == [('"quoted word', "pos"), ("plain", "neg")]


def test_json_lines_and_folders_give_the_same():
    Path("a.jsonl").write_text("\n".join(json.dumps({"sentence": text, "label": int(label)}) for text, label in ROWS))
    assert whole("a.jsonl") == ROWS
    for number, (text, label) in enumerate(ROWS):
        Path("data", label).mkdir(parents=True, exist_ok=True)
        Path("data", label, f"{number:02}.txt").write_text(text)
    assert sorted(whole("data")) == sorted(ROWS)


def test_parts_have_files_of_their_own_or_are_taken_from_the_training_texts():
    for name in ("train.tsv", "dev.tsv", "test.tsv"):
        Path("data").mkdir(exist_ok=True)
        Path("data", name).write_text("".join(f"{name} {i}\t{i % 2}\n" for i in range(50)))
    found = load_text_splits("data", Columns())
    assert {name: part.texts[3] for name, part in found.items()} == {
        "train": "train.tsv 3",
        "validation": "dev.tsv 3",
        "test": "test.tsv 3",
    }
    alone = load_text_splits("data/train.tsv", Columns(), 0.1, 0.2)
    assert [len(alone[name]) for name in ("train", "validation", "test")] == [36, 4, 10]
    assert sorted(sum((part.texts for part in alone.values()), ())) == sorted(f"train.tsv {i}" for i in range(50))
    assert all(np.bincount(part.labels).tolist() == [len(part) / 2] * 2 for part in alone.values())


def test_numbers_are_classes_in_their_order():
    Path("a.tsv").write_text("".join(f"text {i}\t{i}\n" for i in (10, 9, 2, 1)))
    assert load_text_splits("a.tsv", Columns(), 0, 0)["train"].classes == ("1", "2", "9", "10")


def test_a_row_without_text_is_left_out_and_said():
    Path("a.tsv").write_text("one\ta\n \tb\ntwo\tb\n")
    part = load_text_splits("a.tsv", Columns(), 0, 0)["train"]
    assert part.texts == ("one", "two") and part.skipped == ("a.tsv, example 2: no text",)


@pytest.mark.parametrize(
    ("name", "content", "columns", "says"),
    [
        ("a.csv", b"", Columns(), "a.csv has no texts"),
        ("a.csv", b"text,label\n", Columns(), "has no texts; expected two classes"),
        ("a.csv", b"text,label\nx,1\ny,1\n", Columns(), r"texts of one class only \(1\)"),
        ("a.csv", b"text,label\nx,1\ny\n", Columns(), "line 3, has 1 columns; expected 2 as in the first line"),
        ("a.tsv", b"only text\nmore\n", Columns(), "line 1, has 1 columns; expected two or more"),
        (
            "a.csv",
            b"words,label\nx,1\n",
            Columns(),
            "called text or .*; it has words, label: choose by --text-field",
        ),
        ("a.csv", b"a,b\nx,1\n", Columns(text="c"), "has no c; it has a, b: choose by --text-field"),
        ("a.csv", b"text,b\nx,1\n", Columns(label="c"), "has no c; it has text, b: choose by --label-field"),
        ("a.jsonl", b'{"text": "a"}\n', Columns(), "line 1, has no column called label or .*: choose by --label-field"),
        ("a.tsv", b"caf\xe9\t1\n", Columns(), "is not utf-8: byte 3 is 0xe9"),
        ("a.txt", b"text\n", Columns(), "a.txt is no table; expected a name ending in .tsv, .csv"),
    ],
)
def test_a_table_that_is_not_what_it_should_be_is_refused(name, content, columns, says):
    Path(name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        load_text_splits(name, columns)


def test_folders_that_hold_nothing_and_unknown_classes_are_refused():
    Path("data").mkdir()
    with pytest.raises(UserError, match="holds neither train.tsv/.csv"):
        load_text_splits("data", Columns())
    with pytest.raises(UserError, match="there is no such file or folder"):
        load_text_splits("missing", Columns())
    Path("data/train.tsv").write_text("x\ta\ny\tb\n")
    Path("data/test.tsv").write_text("x\tc\n")
    with pytest.raises(UserError, match="test.tsv has a class that the training texts lack: c"):
        load_text_splits("data", Columns())


WORDS = Vocabulary((*SPECIAL, *(f"w{i}" for i in range(30))))


def numbered(count):
    """Texts of one to six words, each beginning with its own."""
    texts = [" ".join(f"w{(i + k) % 30}" for k in range(1 + i % 6)) for i in range(count)]
    return token_rows(texts, WORDS, 6)


def test_rows_stand_between_cls_and_sep_and_the_cut_ones_are_counted():
    rows, cut = numbered(12)
    assert [row.tolist() for row in rows[:2]] == [[2, 5, 3], [2, 6, 7, 3]]
    assert cut == 4 and max(map(len, rows)) == 6 and all(row[-1] == 3 for row in rows)


def test_an_epoch_holds_every_text_once_with_its_class_padded_to_the_longest():
    rows, _ = numbered(24)
    labels = np.arange(24) % 3
    batches = labeled_text_batches(rows, labels, 3, 4, seed=0)
    for epoch in range(2):
        seen = []
        for inputs, targets in batches.skip(6 * epoch).take(6).as_numpy_iterator():
            lengths = inputs["padding_mask"].sum(1)
            assert inputs["token_ids"].shape[1] == lengths.max()
            for ids, length, target in zip(inputs["token_ids"], lengths, targets, strict=True):
                assert (ids[length:] == 0).all() and target.sum() == 1
                place = next(i for i, row in enumerate(rows) if row.tolist() == ids[:length].tolist())
                assert target.argmax() == labels[place]
                seen.append(place)
        assert sorted(seen) == list(range(24))


def test_any_step_can_be_the_first():
    rows, _ = numbered(24)
    whole_run = list(labeled_text_batches(rows, np.zeros(24, int), 2, 4, seed=1).take(9).as_numpy_iterator())
    late = list(labeled_text_batches(rows, np.zeros(24, int), 2, 4, 1, first_step=7).take(2).as_numpy_iterator())
    for (expected, _), (found, _) in zip(whole_run[7:], late, strict=True):
        np.testing.assert_array_equal(expected["token_ids"], found["token_ids"])


def test_evaluation_holds_every_text_once_in_order():
    rows, _ = numbered(10)
    batches = list(evaluation_text_batches(rows, np.arange(10) % 2, 2, 4).as_numpy_iterator())
    weights = np.concatenate([weights for *_, weights in batches])
    assert weights.tolist() == [1.0] * 10 + [0.0] * 2
    found = [
        ids[mask].tolist() for i, *_ in batches for ids, mask in zip(i["token_ids"], i["padding_mask"], strict=True)
    ]
    assert found[:10] == [row.tolist() for row in rows]
