"""Labeled texts in train, validation and test splits, from tables, JSON lines, or a folder per class."""

import csv
import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np

from karpa_tf.data.splits import SPLIT_FOLDERS, hold_out
from karpa_tf.data.text.lines import read_json_lines, read_lines
from karpa_tf.errors import UserError

DELIMITERS = {".tsv": "\t", ".csv": ","}
"""Delimiters of the columns of tables, by the suffix of the file."""

SUFFIXES = (*DELIMITERS, ".jsonl", ".ndjson")

TEXT_FIELDS = ("text", "sentence", "review", "content", "document")
LABEL_FIELDS = ("label", "class", "category", "sentiment", "target")
"""Names of columns that are used if no flag selects a column, in order of precedence."""


@dataclasses.dataclass(frozen=True)
class TextSet:
    """Labeled texts."""

    name: str
    """Path of the file or folder."""

    texts: tuple[str, ...]

    labels: np.ndarray
    """int32 (n,), indices in `classes`."""

    classes: tuple[str, ...]
    """Names of the classes."""

    skipped: tuple[str, ...] = ()
    """Skipped examples, each with the reason."""

    def __len__(self):
        return len(self.texts)

    @property
    def names(self):
        """Names of the examples, for `hold_out`: the texts."""
        return self.texts

    @property
    def fingerprint(self):
        """Hexadecimal digits that identify the texts and their labels."""
        values = json.dumps([self.texts, self.labels.tolist(), self.classes])
        return hashlib.sha256(values.encode()).hexdigest()[:16]

    def select(self, indices):
        """Returns the `TextSet` of the texts at `indices`, int (m,), in that order."""
        texts = tuple(self.texts[index] for index in indices)
        return dataclasses.replace(self, texts=texts, labels=self.labels[indices], skipped=())


@dataclasses.dataclass(frozen=True)
class Columns:
    """Columns of the text and the label in a table or in JSON lines."""

    text: str | None = None
    """Name of the text column; None finds one of `TEXT_FIELDS`, or uses the first column of a table without header."""

    label: str | None = None
    """Name of the label column; None finds one of `LABEL_FIELDS`, or uses the last column of a table without header."""

    encoding: str = "utf-8"
    """Encoding of the files."""


def load_text_splits(data, columns, validation_fraction=0.1, test_fraction=0.2):
    """Returns a dict of `TextSet`: `train`, and `validation` and `test` unless they are empty.

    A validation or test split that does not exist is held out from the training split, stratified by class. Which texts
    are held out depends only on the texts.

    Args:
        data: a .tsv, .csv or .jsonl file; or a folder with train.tsv (or .csv, .jsonl), and optionally validation.tsv
            (or valid, val, dev) and test.tsv; or a folder with a folder of text files per class, or with train/<class>
            and so on.
        columns: a `Columns`.
        validation_fraction: fraction of the training texts to hold out if there is no validation split, in [0, 1).
        test_fraction: fraction of the training texts to hold out if there is no test split, in [0, 1).

    Raises:
        UserError: the data does not exist, cannot be read, or has fewer than two classes.
    """
    path = Path(data).expanduser()
    if not path.exists():
        raise UserError(f"--data {data}: there is no such file or folder.")
    files = {"train": path} if path.is_file() else _find_split_files(path)
    rows = {split: _read_rows(file, columns) for split, file in files.items() if file}
    classes = _sort_classes({label for _, label in rows["train"]})
    if len(classes) < 2:
        received = f"texts of one class only ({classes[0]})" if classes else "no texts"
        raise UserError(f"--data {data} has {received}; expected at least two classes.")
    splits = {split: _make_text_set(files[split], split_rows, classes) for split, split_rows in rows.items()}
    if "test" not in splits and test_fraction:
        splits["train"], splits["test"] = hold_out(splits["train"], test_fraction, "test")
    if "validation" not in splits and validation_fraction:
        splits["train"], splits["validation"] = hold_out(splits["train"], validation_fraction, "validation")
    return {split: splits[split] for split in SPLIT_FOLDERS if split in splits and len(splits[split])}


def _find_split_files(folder):
    """Returns a dict of the file or folder of each split, or None; without a training split, `folder` is that."""
    files = {
        split: next(
            (path for name in names for suffix in ("", *SUFFIXES) if (path := folder / f"{name}{suffix}").exists()),
            None,
        )
        for split, names in SPLIT_FOLDERS.items()
    }
    return files if files["train"] else {"train": folder}


def _read_rows(path, columns):
    """Returns a list of (text, class name)."""
    if path.is_dir():
        return _read_folder(path, columns)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"--data {path} is not a table; expected a file ending in {', '.join(SUFFIXES)}, or a folder.")
    if suffix in DELIMITERS:
        return _read_table(path, columns)
    rows = []
    for location, row in read_json_lines(path, columns.encoding):
        rows.append(tuple(str(row[name]).strip() for name in _find_columns(location, row, columns)))
    return rows


def _read_folder(folder, columns):
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = [(file, entry.name) for entry in classes for file in sorted(entry.rglob("*")) if file.is_file()]
    if not files:
        raise UserError(
            f"--data {folder} has no texts; expected train{'/'.join(SUFFIXES)} or a folder of text files for each "
            "class."
        )
    return [("".join(read_lines(file, columns.encoding)).strip(), label) for file, label in files]


def _read_table(path, columns):
    csv.field_size_limit(2**24)
    delimiter = DELIMITERS[path.suffix.lower()]
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE  # texts in .tsv files may start with a quote
    lines = read_lines(path, columns.encoding, split_long=False)
    table = csv.reader(lines, delimiter=delimiter, quoting=quoting)
    first = next(table, None)
    if first is None:
        return []
    table_rows = table
    if columns.text or columns.label or {name.lower() for name in first} & {*TEXT_FIELDS, *LABEL_FIELDS}:
        indices = [first.index(name) for name in _find_columns(path, first, columns)]
    else:  # no header
        indices, table_rows = (0, len(first) - 1), itertools.chain([first], table)
    rows = []
    for row in table_rows:
        if len(row) != len(first) or len(row) < 2:
            expected = f"{len(first)} as in the first line" if len(first) > 1 else "at least two"
            raise UserError(f"{path}, line {table.line_num}: {len(row)} columns; expected {expected}.")
        rows.append(tuple(row[index].strip() for index in indices))
    return rows


def _find_columns(location, names, columns):
    """Returns the names of the text column and of the label column among `names`."""
    return (
        _find_column(location, names, columns.text, TEXT_FIELDS, "--text-field"),
        _find_column(location, names, columns.label, LABEL_FIELDS, "--label-field"),
    )


def _find_column(location, names, column, candidates, flag):
    """Returns `column`, or the name that equals the first possible candidate, ignoring case."""
    if column is None:
        found = next((name for candidate in candidates for name in names if name.lower() == candidate), None)
    else:
        found = column if column in names else None
    if found is None:
        expected = column or " or ".join(candidates)
        raise UserError(
            f"{location}: no column {expected}; the columns are {', '.join(map(str, names))}. Select one with {flag}."
        )
    return found


def _sort_classes(names):
    """Returns the names of classes in order; numbers come first, in numerical order."""
    return tuple(sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)))


def _make_text_set(path, rows, classes):
    unknown = sorted({label for _, label in rows} - set(classes))
    if unknown:
        raise UserError(f"{path} has a class that the training texts do not have: {unknown[0]}.")
    examples = [(text, classes.index(label)) for text, label in rows if text]
    skipped = tuple(f"{path}, example {number}: no text" for number, (text, _) in enumerate(rows, 1) if not text)
    labels = np.array([label for _, label in examples], np.int32)
    return TextSet(str(path), tuple(text for text, _ in examples), labels, classes, skipped)
