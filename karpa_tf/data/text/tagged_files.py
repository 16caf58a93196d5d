"""Texts with spans, from columns of tokens and tags (CoNLL), and from JSON lines."""

import itertools
import json
import re
from typing import NamedTuple

from karpa_tf.data.text.lines import read_json_lines, read_lines
from karpa_tf.errors import UserError, list_names

JSON_SUFFIXES = (".jsonl", ".ndjson")

DOCUMENT_START = "-DOCSTART-"
"""First column of the line between documents in the data of CoNLL-2003."""

TAG = re.compile(r"O|[BIESLU]-(?P<type>.+)")
"""A tag of BIO (IOB2), IOB1, BIOES (IOBES) or BILOU."""

SPAN_KEYS = ("spans", "entities", "label", "labels")
"""Keys of lists of spans in JSON lines, in order of precedence."""

TAG_KEYS = ("tags", "ner_tags", "pos_tags")
"""Keys of lists of tags in JSON lines, in order of precedence."""


class Span(NamedTuple):
    """A part of a text."""

    start: int
    """Index of its first character."""

    end: int
    """Index after its last character."""

    type: str
    """What it is: the type of an entity, for example."""


def read_tagged_texts(path, encoding="utf-8", tag_column=None, token_column=None):
    """Returns the list of (text, spans) of a file; spans are a tuple of `Span` in order, none overlapping another.

    Lines of a file ending in .jsonl or .ndjson, and of one that begins with {, are objects: `text` and a list of
    `spans`, which are objects with `start`, `end` and `label` (or `type`), or lists of the three; or `tokens` and a
    list of `tags`. Spaces at the ends of a span are left out of it. Any other file has a token and its tag per line, in
    columns between tabs, or between spaces where there are no tabs, and blank lines between sentences. Tokens are
    joined by spaces.

    Args:
        path: path of the file.
        encoding: encoding of the file.
        tag_column: column of the tags, counted from 1; None is the last one.
        token_column: column of the tokens, counted from 1; None is the first one, or the second one if the first
            numbers the tokens of every sentence (CoNLL-U).

    Raises:
        UserError: the file cannot be read, or a line of it; the error names the line.
    """
    if path.suffix.lower() in JSON_SUFFIXES or _begins_with_brace(path, encoding):
        rows = [_read_object(location, row) for location, row in read_json_lines(path, encoding)]
    else:
        rows = _read_columns(path, encoding, tag_column, token_column)
    has_prefixes = any(TAG.fullmatch(tag) for _, _, tags in rows if tags is not None for tag in tags)
    return [
        (text, spans) if tags is None else _join(location, text, tags, has_prefixes)
        for location, (text, spans), tags in rows
    ]


def parse_tags(tags, has_prefixes=True, location=""):
    """Returns the spans of tags as (index of the first tag, index after the last, type), in order.

    One rule reads BIO, IOB1, BIOES and BILOU: a span begins at B, S or U, and at any other tag that does not continue
    the type before it; it ends after E, S, L or U, and where the next does not continue it. It is that of the program
    conlleval of CoNLL-2000.

    Args:
        tags: sequence of strings.
        has_prefixes: whether they are in one of these forms; otherwise each is the type of a single token, as those of
            parts of speech.
        location: where they are from, for the error.

    Raises:
        UserError: a tag is in none of these forms.
    """
    if not has_prefixes:
        return [(index, index + 1, tag) for index, tag in enumerate(tags)]
    spans, is_open = [], False
    for index, tag in enumerate(tags):
        match = TAG.fullmatch(tag)
        if not match:
            raise UserError(f"{location}: expected O or a tag such as B-PER or I-PER; received {tag:.40}.")
        prefix, type_name = tag[0], match["type"]
        if prefix == "O":
            is_open = False
            continue
        if is_open and prefix in "IEL" and spans[-1][2] == type_name:
            spans[-1] = (spans[-1][0], index + 1, type_name)
        else:
            spans.append((index, index + 1, type_name))
        is_open = prefix in "BI"
    return spans


def _begins_with_brace(path, encoding):
    first = next((line for line in read_lines(path, encoding, split_long=False) if line.strip()), "")
    return first.lstrip().startswith("{")


def _read_columns(path, encoding, tag_column, token_column):
    """Returns a list of (location, tokens, tags), one for every sentence."""
    sentences = [_select_words(rows) for rows in _split_sentences(path, encoding)]
    expected = len(sentences[0][0][1]) if sentences else 2
    for number, columns in (row for rows in sentences for row in rows):
        if len(columns) < 2 or len(columns) != expected:
            expects = max(expected, 2) if len(columns) > 1 else "at least 2"
            raise UserError(
                f"{path}, line {number}: {len(columns)} column{'s' * (len(columns) > 1)}; expected {expects}, a token "
                "and its tag among them."
            )
    for flag, column in (("--tag-column", tag_column), ("--token-column", token_column)):
        if column and column > expected:
            raise UserError(f"{path} has columns 1 to {expected}; received {flag} {column}.")
    if token_column is None:
        are_numbered = all(_is_numbered([columns[0] for _, columns in rows]) for rows in sentences)
        token_column = 2 if are_numbered and expected > 2 else 1
    tag_column = tag_column or expected
    return [
        (
            f"{path}, lines {rows[0][0]} to {rows[-1][0]}",
            ([columns[token_column - 1] for _, columns in rows], None),
            [columns[tag_column - 1] for _, columns in rows],
        )
        for rows in sentences
    ]


def _split_sentences(path, encoding):
    """Yields the sentences of a file of columns, lists of (line number, columns), without comments."""
    rows, expected = [], None
    for number, line in enumerate(itertools.chain(read_lines(path, encoding, split_long=False), [""]), 1):
        line = line.strip("\r\n")
        columns = [column.strip() for column in line.split("\t")] if "\t" in line.strip() else line.split()
        is_comment = line.startswith("# ") and ("=" in line or len(columns) != (expected or len(columns)))
        if is_comment:
            continue
        if not columns or columns[0] == DOCUMENT_START:
            if rows:
                yield rows
            rows = []
            continue
        expected = expected or len(columns)
        rows.append((number, columns))


def _select_words(rows):
    """Returns the lines of a sentence; of CoNLL-U without those of several words (2-3) and of implied ones (2.1).

    In other files such tokens are scores and decimal numbers: the lines beside them do not count on from them.
    """
    names = ["0", *(columns[0] for _, columns in rows), ""]
    words = []
    for row, before, name, after in zip(rows, names, names[1:], names[2:], strict=False):
        number, separator, part = re.fullmatch(r"(\d+)(?:([-.])(\d+))?|.*", name).groups()
        if separator == "-" and after == number:
            continue
        if separator == "." and before in (number, f"{number}.{int(part) - 1}"):
            continue
        words.append(row)
    return words if words and all(columns[0].isdigit() for _, columns in words) else rows


def _is_numbered(tokens):
    return tokens == [str(number) for number in range(1, len(tokens) + 1)]


def _join(location, tokens, tags, has_prefixes):
    """Returns tokens joined by spaces, and their spans."""
    pairs = [(token, tag) for token, tag in zip(tokens, tags, strict=True) if token]
    tokens, tags = ([pair[index] for pair in pairs] for index in (0, 1))
    ends = list(itertools.accumulate(len(token) + 1 for token in tokens))
    starts = [end - len(token) - 1 for token, end in zip(tokens, ends, strict=True)]
    spans = parse_tags(tags, has_prefixes, location)
    return " ".join(tokens), tuple(Span(starts[first], ends[last - 1] - 1, name) for first, last, name in spans)


def _read_object(location, row):
    """Returns the location, and tokens and tags, or text and spans, as the results of `_read_columns`."""
    tags = next((row[key] for key in TAG_KEYS if key in row), None)
    if tags is not None:
        tokens = row.get("tokens")
        if not _are_strings(tokens) or not _are_strings(tags) or len(tokens) != len(tags):
            raise UserError(f"{location}: expected a list of tokens and one of as many tags, all of them strings.")
        return location, (tokens, None), tags
    text, spans = row.get("text"), next((row[key] for key in SPAN_KEYS if key in row), None)
    if not isinstance(text, str) or not isinstance(spans, list):
        raise UserError(
            f"{location}: expected text and a list of spans, or tokens and a list of tags; the keys are "
            f"{list_names(row)}."
        )
    spans = sorted(_read_span(location, text, span) for span in spans)
    for before, after in itertools.pairwise(spans):
        if after.start < before.end:
            raise UserError(
                f"{location}: {text[before.start : before.end]!r:.40} and {text[after.start : after.end]!r:.40} "
                "overlap; each character can be in one span only."
            )
    return location, (text, tuple(spans)), None


def _read_span(location, text, span):
    if isinstance(span, dict):
        values = [span.get("start"), span.get("end"), span.get("label", span.get("type"))]
    else:
        values = span if isinstance(span, list) else []
    match values:
        case [int(start), int(end), str(name)] if 0 <= start < end <= len(text) and name and text[start:end].strip():
            marked = text[start:end]
            return Span(start + len(marked) - len(marked.lstrip()), start + len(marked.rstrip()), name)
    raise UserError(
        f"{location}: expected a span of start, end and label within a text of {len(text)} characters; received "
        f"{json.dumps(span)[:60]}."
    )


def _are_strings(values):
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
