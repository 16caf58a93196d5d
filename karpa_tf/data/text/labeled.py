"""Texts with a class each, in three parts: from tables, JSON lines, or a folder per class."""

import csv
import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np

from karpa_tf.data.splits import SPLIT_FOLDERS, hold_out
from karpa_tf.data.text.corpus import read_json_lines, read_lines
from karpa_tf.errors import UserError

TABLES = {".tsv": "\t", ".csv": ","}
"""Endings of tables, and what parts their columns."""

ENDINGS = (*TABLES, ".jsonl", ".ndjson")

TEXT_FIELDS = ("text", "sentence", "review", "content", "document")
LABEL_FIELDS = ("label", "class", "category", "sentiment", "target")
"""Names by which the columns are found where no flag names them, in this order."""


@dataclasses.dataclass(frozen=True)
class TextSet:
    """Texts that are ready to learn from."""

    name: str
    """The file or folder."""

    texts: tuple[str, ...]
    """The texts."""

    labels: np.ndarray
    """int32 (n,), places in `classes`."""

    classes: tuple[str, ...]
    """Names of the classes."""

    skipped: tuple[str, ...] = ()
    """What was left out, with the reason."""

    def __len__(self):
        return len(self.texts)

    @property
    def names(self):
        """Names of the examples, for `hold_out`: the texts themselves."""
        return self.texts

    @property
    def fingerprint(self):
        """Changes when the texts or their classes do."""
        values = json.dumps([self.texts, self.labels.tolist(), self.classes])
        return hashlib.sha256(values.encode()).hexdigest()[:16]

    def select(self, indices):
        """Returns the `TextSet` of the texts at `indices`, int (m,), in that order."""
        texts = tuple(self.texts[index] for index in indices)
        return dataclasses.replace(self, texts=texts, labels=self.labels[indices], skipped=())


@dataclasses.dataclass(frozen=True)
class Columns:
    """Where text and class stand in a table or in JSON lines."""

    text: str | None = None
    """Name of the text's column; None looks for one of `TEXT_FIELDS`, or takes the first of a table without names."""

    label: str | None = None
    """Name of the class's column; None looks for one of `LABEL_FIELDS`, or takes the last."""

    encoding: str = "utf-8"
    """Of the files."""


def load_text_splits(data, columns, validation_fraction=0.1, test_fraction=0.2):
    """Returns a dict of `TextSet`s: `train`, and `validation` and `test` where there are any.

    A part that is missing is taken from the training part, each class in proportion; which texts are taken depends on
    them alone.

    Args:
        data: a .tsv, .csv or .jsonl file; or a folder with train.tsv (or .csv, .jsonl), and, if it likes,
            validation.tsv (or valid, val, dev) and test.tsv; or with a folder of text files per class, or
            train/<class>/... and so on.
        columns: a `Columns`.
        validation_fraction: share of the training texts for a validation part that is missing, in [0, 1); 0 for none.
        test_fraction: the same for a test part that is missing.

    Raises:
        UserError: there are no texts, columns or classes of that kind, or fewer than two classes.
    """
    path = Path(data).expanduser()
    if not path.exists():
        raise UserError(f"--data {data}: there is no such file or folder.")
    files = {"train": path} if path.is_file() else _files_of(path)
    rows = {split: _read(file, columns) for split, file in files.items() if file}
    classes = _class_names({label for _, label in rows["train"]})
    if len(classes) < 2:
        what = f"texts of one class only ({classes[0]})" if classes else "no texts"
        raise UserError(f"--data {data} has {what}; expected two classes.")
    parts = {split: _text_set(files[split], found, classes) for split, found in rows.items()}
    if "test" not in parts and test_fraction:
        parts["train"], parts["test"] = hold_out(parts["train"], test_fraction, "test")
    if "validation" not in parts and validation_fraction:
        parts["train"], parts["validation"] = hold_out(parts["train"], validation_fraction, "validation")
    return {split: parts[split] for split in SPLIT_FOLDERS if split in parts and len(parts[split])}


def _files_of(folder):
    """Returns the file or folder of each split, None where there is none."""
    found = {
        split: next(
            (path for name in names for ending in ("", *ENDINGS) if (path := folder / f"{name}{ending}").exists()),
            None,
        )
        for split, names in SPLIT_FOLDERS.items()
    }
    return found if found["train"] else {"train": folder}


def _read(path, columns):
    """Returns a list of (text, name of the class)."""
    if path.is_dir():
        return _read_folder(path, columns)
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"--data {path} is no table; expected a name ending in {', '.join(ENDINGS)}, or a folder.")
    if path.suffix.lower() in TABLES:
        return _read_table(path, columns)
    rows = []
    for where, row in read_json_lines(path, columns.encoding):
        names = [_name(where, row, *wanted) for wanted in _wanted(columns)]
        rows.append(tuple(str(row[name]).strip() for name in names))
    return rows


def _read_folder(folder, columns):
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = [(file, entry.name) for entry in classes for file in sorted(entry.rglob("*")) if file.is_file()]
    if not files:
        raise UserError(
            f"--data {folder} holds neither train{'/'.join(ENDINGS)} nor a folder of text files for each class."
        )
    return [("".join(read_lines(file, columns.encoding)).strip(), label) for file, label in files]


def _read_table(path, columns):
    csv.field_size_limit(2**24)
    parting = TABLES[path.suffix.lower()]
    quoting = csv.QUOTE_MINIMAL if parting == "," else csv.QUOTE_NONE  # a tab-separated text may begin with a quote
    table = csv.reader(read_lines(path, columns.encoding, cut=False), delimiter=parting, quoting=quoting)
    first = next(table, None)
    if first is None:
        return []
    places, before = (0, len(first) - 1), [first]
    if columns.text or columns.label or {name.lower() for name in first} & {*TEXT_FIELDS, *LABEL_FIELDS}:
        places, before = [first.index(_name(path, first, *wanted)) for wanted in _wanted(columns)], []
    rows = []
    for row in itertools.chain(before, table):
        if len(row) != len(first) or len(row) < 2:
            expected = f"{len(first)} as in the first line" if len(first) > 1 else "two or more"
            raise UserError(f"{path}, line {table.line_num}, has {len(row)} columns; expected {expected}.")
        rows.append(tuple(row[place].strip() for place in places))
    return rows


def _wanted(columns):
    """Returns for text and class: the flag, the name that was asked for or None, and those to look for."""
    return ("--text-field", columns.text, TEXT_FIELDS), ("--label-field", columns.label, LABEL_FIELDS)


def _name(where, names, flag, asked, known):
    """Returns which of `names` is meant; raises `UserError` if none is."""
    found = asked if asked in names else None
    if asked is None:
        found = next((name for wanted in known for name in names if name.lower() == wanted), None)
    if found is None:
        what = asked or f"column called {' or '.join(known)}"
        raise UserError(f"{where} has no {what}; it has {', '.join(map(str, names))}: choose by {flag}.")
    return found


def _class_names(labels):
    """Returns the names of the classes, numbers in the order of numbers."""
    return tuple(sorted(labels, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)))


def _text_set(path, rows, classes):
    unknown = sorted({label for _, label in rows} - set(classes))
    if unknown:
        raise UserError(f"{path} has a class that the training texts lack: {unknown[0]}.")
    kept = [(text, classes.index(label)) for text, label in rows if text]
    skipped = tuple(f"{path}, example {place}: no text" for place, (text, _) in enumerate(rows, 1) if not text)
    labels = np.array([label for _, label in kept], np.int32)
    return TextSet(str(path), tuple(text for text, _ in kept), labels, classes, skipped)
