"""Texts and labels of tables and JSON lines."""

import csv
import dataclasses
import itertools
import json
from typing import NamedTuple

from karpa_tf.data.text.lines import read_json_lines, read_lines
from karpa_tf.errors import UserError, list_names

DELIMITERS = {".tsv": "\t", ".csv": ","}
"""Delimiters of the columns of tables, by the suffix of the file."""

SUFFIXES = (*DELIMITERS, ".jsonl", ".ndjson")

TEXT_FIELDS = ("text", "sentence", "review", "content", "document")
LABEL_FIELDS = ("label", "class", "category", "sentiment", "target", "rating", "score")
"""Names of columns that are used if no flag selects a column, in order of precedence."""

MAX_FIELD = 2**24
"""Maximum number of characters of a field in a table."""


class Row(NamedTuple):
    """A labeled text."""

    text: str

    label: str

    pair: str = ""
    """The second text, if texts come in pairs."""

    def is_complete(self, has_pairs):
        """Returns whether nothing is missing, of a pair if there are pairs."""
        return bool(self.text and self.label and (self.pair or not has_pairs))


class NoLabels(UserError):
    """A table has texts but no column of labels, as test splits have whose classes are secret."""


@dataclasses.dataclass(frozen=True)
class Columns:
    """Columns of the text, the label and a second text in a table or in JSON lines."""

    text: str | None = None
    """Name of the text column, or its number from 1 in a table without header; None finds one of `TEXT_FIELDS`, or uses
    the first column of a table without header."""

    label: str | None = None
    """The same of the label column; None finds one of `LABEL_FIELDS`, or uses the last column."""

    pair: str | None = None
    """The same of a second text; None if there is none."""

    encoding: str = "utf-8"
    """Encoding of the files."""

    has_labels: bool = True
    """Whether there is a column of labels; otherwise the label of a row is its text."""


def read_rows(path, columns):
    """Returns the list of `Row` of a file that ends in one of `SUFFIXES`; null is "".

    Args:
        path: path of the file.
        columns: a `Columns`.

    Raises:
        NoLabels: there is no column of labels.
        UserError: the file cannot be read, or a row of it; the error names the line.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"--data {path} is not a table; expected a file ending in {', '.join(SUFFIXES)}, or a folder.")
    if suffix in DELIMITERS:
        return _read_table(path, columns)
    return [_read_object(location, row, columns) for location, row in read_json_lines(path, columns.encoding)]


def _read_object(location, row, columns):
    """Returns the `Row` of a JSON object; null is ""."""
    values = [row[name] for name in _find_columns(location, row, columns)]
    for value in values:
        if isinstance(value, (list, dict)):
            raise UserError(f"{location}: expected a text and a label; received {json.dumps(value)[:40]}.")
    return Row(*("" if value is None else str(value).strip() for value in values))


def _read_table(path, columns):
    delimiter = DELIMITERS[path.suffix.lower()]
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE  # texts in .tsv files may start with a quote
    lines = read_lines(path, columns.encoding, split_long=False)
    csv.field_size_limit(MAX_FIELD)
    rows = _read_csv(path, csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True))
    _, first = next(rows, (None, None))
    if first is None:
        return []
    indices, has_header = _find_indices(path, first, columns)
    if not has_header:
        rows = itertools.chain([(1, first)], rows)
    if len(first) < 2 and columns.has_labels:
        raise NoLabels(f"{path}, line 1: 1 column; expected at least two, of texts and of labels.")
    texts = []
    for line, row in rows:
        if len(row) != len(first):
            raise UserError(f"{path}, line {line}: {len(row)} columns; expected {len(first)} as in the first line.")
        texts.append(Row(*(row[index].strip() for index in indices)))
    return texts


def _read_csv(path, table):
    """Yields the number of the last line and the fields of every row of a `csv.reader` that is not blank."""
    end = 0
    try:
        for row in table:
            end = table.line_num
            if row:
                yield end, row
    except csv.Error as error:
        raise UserError(
            f"{path}, line {end + 1}: the row that begins here is not valid CSV ({error}); a field that begins with a "
            'quotation mark must end with one, and "" stands for one within it.'
        ) from None


def _find_indices(path, first, columns):
    """Returns the indices of the columns of a `Row` in a table, and whether its first row is a header."""
    named = [name for name in (columns.text, columns.label, columns.pair) if name is not None]
    if named or {name.lower() for name in first} & {*TEXT_FIELDS, *LABEL_FIELDS}:
        if named and all(name.isdecimal() for name in named) and not all(name in first for name in named):
            indices = [int(columns.text or 1) - 1]
            indices += [int(columns.label or len(first)) - 1 if columns.has_labels else indices[0]]
            indices += [int(columns.pair) - 1] if columns.pair else []
            if not all(0 <= index < len(first) for index in indices):
                raise UserError(f"{path} has columns 1 to {len(first)}; received {' and '.join(named)}.")
            return indices, False
        return tuple(first.index(name) for name in _find_columns(path, first, columns)), True
    if len(first) > 1 and not columns.has_labels:
        raise UserError(
            f"{path} has {len(first)} columns, none of which is named {' or '.join(TEXT_FIELDS)}; select that of the "
            "texts with --text-field (a name, or a number from 1 in a table without names)."
        )
    return (0, len(first) - 1), False


def _find_columns(location, names, columns):
    """Returns the names of the columns of a `Row` among `names`."""
    found = [_find_column(location, names, columns.text, TEXT_FIELDS, "--text-field", UserError)]
    labels = (columns.label, LABEL_FIELDS, "--label-field", NoLabels)
    found.append(_find_column(location, names, *labels) if columns.has_labels else found[0])
    if columns.pair:
        found.append(_find_column(location, names, columns.pair, (), "--pair-field", UserError))
    return found


def _find_column(location, names, column, candidates, flag, error):
    """Returns `column`, or the name that equals the first possible candidate, ignoring case; or raises `error`."""
    if column is None:
        found = next((name for candidate in candidates for name in names if name.lower() == candidate), None)
    else:
        found = column if column in names else None
    if found is None:
        expected = column or " or ".join(candidates)
        known = list_names(names)
        raise error(f"{location}: no column {expected}; the columns are {known}. Select one with {flag}.")
    return found
