"""Labeled texts of tables, JSON lines and folders, their splits, and their batches."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from karpa_tf.data.text.labeled import load_text_splits
from karpa_tf.data.text.labeled_batches import make_evaluation_text_batches, make_labeled_text_batches, make_token_rows
from karpa_tf.data.text.tables import Columns
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.errors import UserError

ROWS = [("good, very good", "1"), ('"bad" it was', "0"), ("Ünïcödé", "1"), ("two\nlines", "0")] * 5


def write_csv(path, header=("id", "Text", "Label")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        table.writerows((number, text, label) for number, (text, label) in enumerate(ROWS))


def load_rows(data, columns=Columns()):  # noqa: B008
    """Returns a list of (text, class name)."""
    (train,) = load_text_splits(data, columns, 0, 0).values()
    return [(text, train.classes[label]) for text, label in zip(train.texts, train.labels, strict=True)]


def test_the_columns_of_a_table_are_found_by_their_names():
    write_csv("a.csv")
    assert load_rows("a.csv") == ROWS
    write_csv("b.csv", ("sentiment", "body", "stars"))
    assert load_rows("b.csv", Columns("body", "stars")) == ROWS


def test_a_table_without_header_has_the_text_first_and_the_label_last():
    Path("a.tsv").write_text('"quoted word\tpos\nplain\tneg\n\n'.replace("\n\n", "\n"))
    assert load_rows("a.tsv") == [('"quoted word', "pos"), ("plain", "neg")]


def test_json_lines_and_folders_have_the_same_texts_as_a_table():
    Path("a.jsonl").write_text("\n".join(json.dumps({"sentence": text, "label": int(label)}) for text, label in ROWS))
    assert load_rows("a.jsonl") == ROWS
    for number, (text, label) in enumerate(ROWS):
        Path("data", label).mkdir(parents=True, exist_ok=True)
        Path("data", label, f"{number:02}.txt").write_text(text)
    assert sorted(load_rows("data")) == sorted(ROWS)


def test_splits_are_read_from_their_files_or_held_out_from_the_training_texts():
    for name in ("train.tsv", "dev.tsv", "test.tsv"):
        Path("data").mkdir(exist_ok=True)
        Path("data", name).write_text("".join(f"{name} {i}\t{i % 2}\n" for i in range(50)))
    splits = load_text_splits("data", Columns())
    assert {name: split.texts[3] for name, split in splits.items()} == {
        "train": "train.tsv 3",
        "validation": "dev.tsv 3",
        "test": "test.tsv 3",
    }
    splits = load_text_splits("data/train.tsv", Columns(), 0.1, 0.2)
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [36, 4, 10]
    assert sorted(sum((split.texts for split in splits.values()), ())) == sorted(f"train.tsv {i}" for i in range(50))
    assert all(np.bincount(split.labels).tolist() == [len(split) / 2] * 2 for split in splits.values())


def test_classes_that_are_numbers_are_in_numerical_order():
    Path("a.tsv").write_text("".join(f"text {i}\t{i}\n" for i in (10, 9, 2, 1)))
    assert load_text_splits("a.tsv", Columns(), 0, 0)["train"].classes == ("1", "2", "9", "10")


def test_rows_without_text_are_skipped_and_listed():
    Path("a.tsv").write_text("one\ta\n \tb\ntwo\tb\n")
    train = load_text_splits("a.tsv", Columns(), 0, 0)["train"]
    assert train.texts == ("one", "two") and train.skipped == ("a.tsv, example 2: no text",)


def test_rows_without_label_are_skipped_and_listed_in_tables_and_json_lines():
    Path("a.csv").write_text("text,label\none,a\ntwo,\nthree,b\n\n")
    rows = [("one", "a"), (None, "a"), ("two", None), ("three", "b")]
    Path("a.jsonl").write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    for name, skipped in (("a.csv", ["2: no label"]), ("a.jsonl", ["2: no text", "3: no label"])):
        train = load_text_splits(name, Columns(), 0, 0)["train"]
        assert train.texts == ("one", "three") and train.classes == ("a", "b")
        assert train.skipped == tuple(f"{name}, example {reason}" for reason in skipped)


def test_a_table_without_header_has_its_columns_by_number():
    Path("a.csv").write_text("".join(f'"{1 + i % 4}","Title {i}","words {i}"\n' for i in range(80)))
    rows = load_rows("a.csv", Columns(text="3", label="1"))
    assert rows[:5] == [("words 0", "1"), ("words 1", "2"), ("words 2", "3"), ("words 3", "4"), ("words 4", "1")]
    with pytest.raises(UserError, match="80 classes in 80 texts.*select the column of the labels with --label-field"):
        load_rows("a.csv")
    with pytest.raises(UserError, match="a.csv has columns 1 to 3; received 3 and 4"):
        load_rows("a.csv", Columns(text="3", label="4"))


@pytest.mark.parametrize("labels", ["²,1", "③,2", "½,x", "٣,4", "-1,0", "猫,кот", "1e3,NaN"])
def test_any_string_can_be_a_class(labels):
    first, second = labels.split(",")
    Path("a.csv").write_text(f"text,label\none,{first}\ntwo,{second}\n", encoding="utf-8")
    assert sorted(load_rows("a.csv")) == [("one", first), ("two", second)]


def test_a_split_without_labels_is_left_out_and_a_folder_of_unlabeled_texts_is_no_class(capsys):
    Path("data").mkdir()
    for name, label in (("train", "{}"), ("dev", ""), ("test", "-1")):
        rows = "".join(f"text {i}\t{label.format(i % 2)}\n" for i in range(20))
        Path("data", f"{name}.tsv").write_text(rows)
    splits = load_text_splits("data", Columns())
    assert {name: len(split) for name, split in splits.items()} == {"train": 14, "validation": 2, "test": 4}
    assert capsys.readouterr().err.count("has no labels; it is left out.") == 2


@pytest.mark.parametrize("test", ["index\tsentence\n0\tone\n1\ttwo\n", "one\ntwo\n", "sentence\none\n"])
def test_a_test_table_without_a_column_of_labels_is_left_out(test, capsys):
    Path("data").mkdir()
    Path("data", "train.tsv").write_text("sentence\tlabel\n" + "".join(f"text {i}\t{i % 2}\n" for i in range(20)))
    Path("data", "test.tsv").write_text(test)
    splits = load_text_splits("data", Columns(), 0.0, 0.0)
    assert {name: len(split) for name, split in splits.items()} == {"train": 20}
    assert "test.tsv has no labels; it is left out." in capsys.readouterr().err
    for folder in ("pos", "neg", "unsup", ".ipynb_checkpoints", "__MACOSX"):
        Path("reviews", folder).mkdir(parents=True)
        Path("reviews", folder, "one.txt").write_text("a text")
    assert load_text_splits("reviews", Columns(), 0, 0)["train"].classes == ("neg", "pos")


def test_random_rows_are_read_as_the_csv_module_wrote_them_or_refused_with_their_line():
    rng = np.random.default_rng(0)
    letters = list("ab,\"\n\t '\\é")
    for _ in range(200):
        texts = ["x" + "".join(rng.choice(letters, rng.integers(1, 9))) for _ in range(6)]
        with open("a.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *((text, i % 2) for i, text in enumerate(texts))])
        assert [text for text, _ in load_rows("a.csv")] == [text.strip() for text in texts]
        content = Path("a.csv").read_text(encoding="utf-8")
        position = int(rng.integers(len("text,label\n"), len(content)))
        Path("a.csv").write_text(content[:position] + '"' + content[position:], encoding="utf-8")
        try:
            assert len(load_rows("a.csv")) <= 6
        except UserError as error:
            assert "a.csv" in str(error) and "\n" not in str(error).strip()


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.csv", b"", Columns(), "a.csv has no texts"),
        ("a.csv", b"text,label\n", Columns(), "has no texts; expected at least two classes"),
        ("a.csv", b"text,label\nx,1\ny,1\n", Columns(), r"texts of one class only \(1\)"),
        ("a.csv", b"text,label\nx,1\ny\n", Columns(), "line 3: 1 columns; expected 2 as in the first line"),
        ("a.tsv", b"only text\nmore\n", Columns(), "line 1: 1 column; expected at least two"),
        (
            "a.csv",
            b"words,label\nx,1\n",
            Columns(),
            "no column text or .*; the columns are words, label. Select one with --text-field",
        ),
        ("a.csv", b'text,label\nx,1\n"y,2\nz,1\n', Columns(), "line 3: the row that begins here is not valid CSV"),
        ("a.csv", b'text,label\n"y" z,2\n', Columns(), "line 2: the row that begins here is not valid CSV"),
        ("a.csv", b"text,label\n" + b"x" * (2**24 + 1) + b",2\n", Columns(), "line 2: .*field larger than field limit"),
        (
            "a.jsonl",
            b'{"text": "a", "label": [1]}\n',
            Columns(),
            r"line 1: expected a text and a label; received \[1\]",
        ),
        ("a.csv", b"a,b\nx,1\n", Columns(text="c"), "no column c; the columns are a, b. Select one with --text-field"),
        (
            "a.csv",
            b"text,b\nx,1\n",
            Columns(label="c"),
            "no column c; the columns are text, b. Select one with --label-field",
        ),
        ("a.jsonl", b'{"text": "a"}\n', Columns(), "line 1: no column label or .* Select one with --label-field"),
        ("a.jsonl", b'{"text": "a", "label": ' + b"9" * 5000 + b"}\n", Columns(), "line 1: expected a JSON object"),
        ("a.jsonl", b"[" * 99_999, Columns(), "line 1: expected a JSON object"),
        ("a.csv", b"text," + b"9" * 5000 + b"\na,b\n", Columns(), "the columns are text, 9{40}. Select one with"),
        ("a.tsv", b"caf\xe9\t1\n", Columns(), "is not utf-8: byte 3 is 0xe9"),
        ("a.txt", b"text\n", Columns(), "a.txt is not a table; expected a file ending in .tsv, .csv"),
    ],
)
def test_invalid_tables_are_refused(name, content, columns, message):
    Path(name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_text_splits(name, columns)


def test_empty_folders_and_unknown_classes_are_refused():
    Path("data").mkdir()
    with pytest.raises(UserError, match="has no texts; expected train.tsv/.csv"):
        load_text_splits("data", Columns())
    with pytest.raises(UserError, match="there is no such file or folder"):
        load_text_splits("missing", Columns())
    Path("data/train.tsv").write_text("x\ta\ny\tb\n")
    Path("data/test.tsv").write_text("x\tc\n")
    with pytest.raises(UserError, match="test.tsv has a class that the training texts do not have: c"):
        load_text_splits("data", Columns())


VOCABULARY = Vocabulary((*SPECIAL, *(f"w{i}" for i in range(30))))


def make_rows(count):
    """Returns the token ids of texts of one to six words, and the number of truncated ones."""
    texts = [" ".join(f"w{(i + k) % 30}" for k in range(1 + i % 6)) for i in range(count)]
    return make_token_rows(texts, VOCABULARY, 6)


def test_rows_start_with_cls_and_end_with_sep_and_truncated_ones_are_counted():
    rows, truncated = make_rows(12)
    assert [row.tolist() for row in rows[:2]] == [[2, 5, 3], [2, 6, 7, 3]]
    assert truncated == 4 and max(map(len, rows)) == 6 and all(row[-1] == 3 for row in rows)


def test_an_epoch_has_every_text_once_with_its_label():
    rows, _ = make_rows(24)
    labels = np.arange(24) % 3
    batches = make_labeled_text_batches(rows, labels, 3, 4, seed=0)
    for epoch in range(2):
        indices = []
        for inputs, targets in batches.skip(6 * epoch).take(6).as_numpy_iterator():
            lengths = inputs["padding_mask"].sum(1)
            assert inputs["token_ids"].shape[1] == lengths.max()
            for ids, length, target in zip(inputs["token_ids"], lengths, targets, strict=True):
                assert (ids[length:] == 0).all() and target.sum() == 1
                index = next(i for i, row in enumerate(rows) if row.tolist() == ids[:length].tolist())
                assert target.argmax() == labels[index]
                indices.append(index)
        assert sorted(indices) == list(range(24))


def test_any_step_can_be_the_first():
    rows, _ = make_rows(24)
    batches = list(make_labeled_text_batches(rows, np.zeros(24, int), 2, 4, seed=1).take(9).as_numpy_iterator())
    resumed = list(
        make_labeled_text_batches(rows, np.zeros(24, int), 2, 4, 1, first_step=7).take(2).as_numpy_iterator()
    )
    for (expected, _), (inputs, _) in zip(batches[7:], resumed, strict=True):
        np.testing.assert_array_equal(expected["token_ids"], inputs["token_ids"])


def test_evaluation_batches_have_every_text_once_in_order():
    rows, _ = make_rows(10)
    batches = list(make_evaluation_text_batches(rows, np.arange(10) % 2, 2, 4).as_numpy_iterator())
    weights = np.concatenate([weights for *_, weights in batches])
    assert weights.tolist() == [1.0] * 10 + [0.0] * 2
    token_ids = [
        ids[mask].tolist()
        for inputs, *_ in batches
        for ids, mask in zip(inputs["token_ids"], inputs["padding_mask"], strict=True)
    ]
    assert token_ids[:10] == [row.tolist() for row in rows]


def test_rows_without_a_second_text_are_skipped_and_make_no_class():
    Path("a.tsv").write_text("text\tother\tlabel\n" + "a\tb\tx\nc\td\ty\n" * 5 + "e\t\tz\n\tf\tx\n")
    train = load_text_splits("a.tsv", Columns(pair="other"), 0, 0)["train"]
    assert train.classes == ("x", "y") and train.pairs == ("b", "d") * 5 and train.texts == ("a", "c") * 5
    assert [reason.split(": ")[1] for reason in train.skipped] == ["no text", "no text"]
    assert train.select([1, 0]).pairs == ("d", "b")
    single = load_text_splits("a.tsv", Columns(), 0, 0)["train"]
    assert single.classes == ("x", "y", "z") and single.fingerprint != train.fingerprint
    Path("a.tsv").write_text("text\tother\tlabel\na\t\tx\nb\t\ty\n")
    with pytest.raises(UserError, match="has no texts; expected at least two classes"):
        load_text_splits("a.tsv", Columns(pair="other"), 0, 0)


def test_labels_can_be_numbers():
    Path("a.csv").write_text("text,rating\n" + "".join(f"a{i},{i / 4}\n" for i in range(40)))
    splits = load_text_splits("a.csv", Columns(), 0.1, 0.25, has_classes=False)
    assert {name: len(split) for name, split in splits.items()} == {"train": 27, "validation": 3, "test": 10}
    assert splits["train"].classes == () and splits["train"].labels.dtype == np.float32
    found = {text: label for split in splits.values() for text, label in zip(split.texts, split.labels, strict=True)}
    assert found == {f"a{i}": i / 4 for i in range(40)}
    for label in ("high", "nan", "1e39"):
        Path("a.csv").write_text(f"text,rating\nx,1\ny,{label}\n")
        with pytest.raises(UserError, match=f"has the label '{label}'; with --regression labels must be finite"):
            load_text_splits("a.csv", Columns(), 0, 0, has_classes=False)


def test_halves_of_characters_in_json_lines_are_replaced():
    Path("a.jsonl").write_text('{"text": "a\\ud83d b", "label": "x"}\n{"text": "c", "label": "y"}\n')
    assert load_text_splits("a.jsonl", Columns(), 0, 0)["train"].texts == ("a\ufffd b", "c")
