"""Labeled texts in train, validation and test splits, from tables, JSON lines, or a folder per class."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np

from karpa_tf.data.splits import SPLIT_FOLDERS, hold_out_missing
from karpa_tf.data.text.lines import read_lines
from karpa_tf.data.text.tables import SUFFIXES, NoLabels, Row, read_rows
from karpa_tf.data.walk import FolderWalk, require_no_model, to_text
from karpa_tf.errors import UserError
from karpa_tf.system.console import warn

NO_LABELS = ("", "-1")
"""Labels of examples without a class; -1 is that of published test splits whose classes are secret."""

UNLABELED_FOLDER = "unsup"
"""Folder of texts without a class in the data set of Maas et al. (2011)."""

MAX_CLASSES = 20
"""Number of classes up to which there may be as many as examples."""


@dataclasses.dataclass(frozen=True)
class TextSet:
    """Labeled texts."""

    name: str
    """Path of the file or folder."""

    texts: tuple[str, ...]

    labels: np.ndarray
    """int32 (n,), indices in `classes`; or float32 (n,), numbers."""

    classes: tuple[str, ...] = ()
    """Names of the classes; none if labels are numbers."""

    pairs: tuple[str, ...] = ()
    """The second text of each example, if texts come in pairs."""

    skipped: tuple[str, ...] = ()
    """Skipped examples, each with the reason."""

    def __len__(self):
        return len(self.texts)

    @property
    def names(self):
        """Names of the examples, for `hold_out`: the texts."""
        if not self.pairs:
            return self.texts
        return [f"{text}\t{pair}" for text, pair in zip(self.texts, self.pairs, strict=True)]

    @property
    def fingerprint(self):
        """Hexadecimal digits that identify the texts and their labels."""
        values = json.dumps([self.texts, self.labels.tolist(), self.classes, *[self.pairs] * bool(self.pairs)])
        return hashlib.sha256(values.encode()).hexdigest()[:16]

    def metadata(self):
        """Returns what `run.json` says about the texts, a dict."""
        return {"count": len(self), "fingerprint": self.fingerprint, "skipped": list(self.skipped)}

    def select(self, indices):
        """Returns the `TextSet` of the texts at `indices`, int (m,), in that order."""
        texts = tuple(self.texts[index] for index in indices)
        pairs = tuple(self.pairs[index] for index in indices) if self.pairs else ()
        return dataclasses.replace(self, texts=texts, labels=self.labels[indices], pairs=pairs, skipped=())


def load_text_splits(data, columns, validation_fraction=0.1, test_fraction=0.2, has_classes=True):
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
        has_classes: whether labels are classes; otherwise they are numbers. Without a column of labels all are 0.

    Raises:
        UserError: the data does not exist, cannot be read, has fewer than two classes, or labels that are no numbers.
    """
    path = Path(data).expanduser()
    if not path.exists():
        raise UserError(f"--data {data}: there is no such file or folder.")
    require_no_model(data)
    files = {"train": path} if path.is_file() else _find_split_files(path)
    rows = {split: _read_split(split, file, columns) for split, file in files.items() if file}
    rows = {split: split_rows for split, split_rows in rows.items() if split_rows is not None}
    has_pairs = columns.pair is not None
    labels = [row.label for row in rows["train"] if row.is_complete(has_pairs)]
    classes = _find_classes(data, labels) if has_classes and columns.has_labels else ()
    if not (classes or labels):
        what = "texts with a number" if columns.has_labels else "pairs of texts" if has_pairs else "texts"
        raise UserError(f"--data {data} has no {what}.")
    splits = {split: _make_text_set(files[split], rows[split], classes, columns) for split in rows}
    return hold_out_missing(splits, validation_fraction, test_fraction)


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


def _read_split(split, path, columns):
    """Returns the list of `Row` of a split, or None with a warning if it is not for training and unlabeled."""
    try:
        rows = _read_folder(path, columns) if path.is_dir() else read_rows(path, columns)
    except NoLabels:
        if split == "train":
            raise
        rows = []
    if split != "train" and columns.has_labels and all(row.label in NO_LABELS for row in rows):
        warn(f"{path} has no labels; it is left out.")
        return None
    return rows


def _read_folder(folder, columns):
    if columns.pair:
        raise UserError(f"--pair-field needs a table; --data {folder} is a folder of texts.")
    walk = FolderWalk()
    classes = [name for name in walk.find_folders(folder) if name != UNLABELED_FOLDER]
    if (folder / UNLABELED_FOLDER).is_dir():
        warn(f"{folder / UNLABELED_FOLDER} holds texts without a class; it is left out.")
    files = [(file, to_text(name)) for name in classes for file in walk.find_files(folder / name)]
    walk.warn(folder)
    if not files:
        raise UserError(
            f"--data {folder} has no texts; expected train{'/'.join(SUFFIXES)} or a folder of text files for each "
            "class."
        )
    return [Row("".join(read_lines(file, columns.encoding)).strip(), label) for file, label in files]


def _find_classes(data, labels):
    """Returns the names of the classes of the labels of training examples, in order."""
    classes = _sort_classes(set(labels))
    if len(classes) < 2:
        received = f"texts of one class only ({classes[0]:.40})" if classes else "no texts"
        raise UserError(f"--data {data} has {received}; expected at least two classes.")
    if len(classes) > max(MAX_CLASSES, len(labels) / 2):
        raise UserError(
            f"--data {data} has {len(classes):,} classes in {len(labels):,} texts, such as {classes[-1]!r:.40}; select "
            "the column of the labels with --label-field and that of the texts with --text-field (names, or numbers "
            "from 1 in a table without names)."
        )
    return classes


def _sort_classes(names):
    """Returns the names of classes in order; numbers come first, in numerical order."""
    return tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


def _make_text_set(path, rows, classes, columns):
    """Returns the `TextSet` of rows; without `classes` labels are numbers, or 0 if there are no labels."""
    has_pairs = columns.pair is not None
    unknown = sorted({row.label for row in rows if row.is_complete(has_pairs)} - set(classes))
    if unknown and classes:
        raise UserError(f"{path} has a class that the training texts do not have: {unknown[0]:.40}.")
    examples = [row for row in rows if row.is_complete(has_pairs)]
    skipped = tuple(
        f"{path}, example {number}: no {'label' if row.text and not row.label else 'text'}"
        for number, row in enumerate(rows, 1)
        if not row.is_complete(has_pairs)
    )
    if classes:
        labels = np.array([classes.index(row.label) for row in examples], np.int32)
    elif not columns.has_labels:
        labels = np.zeros(len(examples), np.int32)
    else:
        labels = np.array([_parse_number(path, row.label) for row in examples], np.float32)
    pairs = tuple(row.pair for row in examples) if has_pairs else ()
    return TextSet(str(path), tuple(row.text for row in examples), labels, classes, pairs, skipped)


def _parse_number(path, label):
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    if not abs(number) <= float(np.finfo(np.float32).max):
        raise UserError(f"{path} has the label {label!r:.40}; with --regression labels must be finite numbers.")
    return number
