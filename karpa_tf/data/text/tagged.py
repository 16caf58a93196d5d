"""Texts with spans in train, validation and test splits."""

import dataclasses
import functools
import hashlib
import json
import re
from pathlib import Path

import numpy as np

from karpa_tf.data.splits import SPLIT_FOLDERS, hold_out_missing
from karpa_tf.data.text.tagged_files import read_tagged_texts
from karpa_tf.data.walk import require_no_model
from karpa_tf.errors import UserError

NAMES = {
    "train": SPLIT_FOLDERS["train"],
    "validation": (*SPLIT_FOLDERS["validation"], "testa"),
    "test": (*SPLIT_FOLDERS["test"], "testb"),
}
"""Words in names of files, between dots, hyphens and underscores, by split; testa and testb are those of CoNLL-2003."""


OTHER_SUFFIXES = (".md", ".rst", ".py", ".sh", ".zip", ".gz", ".tgz", ".csv", ".xml", ".yaml", ".yml")
"""Of files that are left out in a folder."""


@dataclasses.dataclass(frozen=True)
class TaggedSet:
    """Texts with spans."""

    name: str
    """Path of the file."""

    texts: tuple[str, ...]

    spans: tuple[tuple, ...]
    """A tuple of `Span` for each text, in order; none overlaps another."""

    classes: tuple[str, ...]
    """Types of spans."""

    skipped: tuple[str, ...] = ()
    """Skipped examples, each with the reason."""

    def __len__(self):
        return len(self.texts)

    @property
    def names(self):
        """Names of the examples, for `hold_out`: the texts."""
        return self.texts

    @functools.cached_property
    def labels(self):
        """int32 (n,), for `hold_out`: the type of the rarest span in each text, or -1 if it has none."""
        counts = self.count_spans()
        rarest = [min((span.type for span in spans), key=counts.get, default=None) for spans in self.spans]
        return np.array([-1 if name is None else self.classes.index(name) for name in rarest], np.int32)

    @property
    def fingerprint(self):
        """Hexadecimal digits that identify the texts and their spans."""
        values = json.dumps([self.texts, self.spans, self.classes])
        return hashlib.sha256(values.encode()).hexdigest()[:16]

    def count_spans(self):
        """Returns the number of spans of every type, a dict."""
        counts = dict.fromkeys(self.classes, 0)
        for spans in self.spans:
            for span in spans:
                counts[span.type] += 1
        return counts

    def select(self, indices):
        """Returns the `TaggedSet` of the texts at `indices`, int (m,), in that order."""
        texts, spans = (tuple(values[index] for index in indices) for values in (self.texts, self.spans))
        return dataclasses.replace(self, texts=texts, spans=spans, skipped=())


def load_tagged_splits(data, columns, validation_fraction=0.1, test_fraction=0.2):
    """Returns a dict of `TaggedSet`: `train`, and `validation` and `test` unless they are empty.

    A validation or test split that does not exist is held out from the training split. Which texts are held out
    depends only on the texts.

    Args:
        data: a file for `read_tagged_texts`; or a folder with one for each split, whose names contain one of `NAMES`.
        columns: further arguments of `read_tagged_texts`, a dict.
        validation_fraction: fraction of the training texts to hold out if there is no validation split, in [0, 1).
        test_fraction: fraction of the training texts to hold out if there is no test split, in [0, 1).

    Raises:
        UserError: the data does not exist, cannot be read, or has no spans.
    """
    path = Path(data).expanduser()
    if not path.exists():
        raise UserError(f"--data {data}: there is no such file or folder.")
    require_no_model(data)
    files = {"train": path} if path.is_file() else _find_split_files(path)
    rows = {split: read_tagged_texts(file, **columns) for split, file in files.items()}
    classes = tuple(sorted({span.type for text, spans in rows["train"] if text.strip() for span in spans}))
    if not classes:
        raise UserError(f"--data {data}: the {len(rows['train']):,} training texts have no spans to find.")
    splits = {split: _make_tagged_set(files[split], split_rows, classes) for split, split_rows in rows.items()}
    return hold_out_missing(splits, validation_fraction, test_fraction)


def _find_split_files(folder):
    files = {}
    for file in sorted(file for file in folder.iterdir() if file.is_file() and _is_data(file)):
        words = re.split(r"[._-]", file.name.lower())
        split = next((split for split, names in NAMES.items() if set(names) & set(words)), None)
        if split in files:
            raise UserError(f"--data {folder} has two files of the {split} split: {files[split].name}, {file.name}.")
        if split:
            files[split] = file
    if "train" not in files:
        raise UserError(f"--data {folder} has no training file; expected for example train.conll or train.jsonl.")
    return files


def _is_data(file):
    return not file.name.startswith(".") and file.suffix.lower() not in OTHER_SUFFIXES and not file.name.endswith("~")


def _make_tagged_set(path, rows, classes):
    unknown = sorted({span.type for _, spans in rows for span in spans} - set(classes))
    if unknown:
        raise UserError(f"{path} has a type of spans that the training texts do not have: {unknown[0]:.40}.")
    texts = [(text, spans) for text, spans in rows if text.strip()]
    skipped = tuple(
        f"{path}, example {number}: no text" for number, (text, _) in enumerate(rows, 1) if not text.strip()
    )
    return TaggedSet(str(path), tuple(text for text, _ in texts), tuple(spans for _, spans in texts), classes, skipped)
