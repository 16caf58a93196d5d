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


def read_tagged_texts(path, encoding="utf-8", tag_column=None):
    """Returns the list of (text, spans) of a file; spans are a tuple of `Span` in order, none overlapping another.

    Lines of a file ending in .jsonl or .ndjson are objects: `text` and a list of `spans`, which are objects with
    `start`, `end` and `label` (or `type`), or lists of the three; or `tokens` and a list of `tags`. Any other file has
    a token and its tag per line, in columns between spaces or tabs, and blank lines between sentences. Tokens are
    joined by spaces.

    Args:
        path: path of the file.
        encoding: encoding of the file.
        tag_column: column of the tags, counted from 1; None is the last one.

    Raises:
        UserError: the file cannot be read, or a line of it; the error names the line.
    """
    if path.suffix.lower() in JSON_SUFFIXES:
        return [_read_object(location, row) for location, row in read_json_lines(path, encoding)]
    return [_join(*sentence) for sentence in _read_columns(path, encoding, tag_column)]


def find_spans(tags, location=""):
    """Returns the spans of tags as (index of the first tag, index after the last, type), in order.

    One rule reads BIO, IOB1, BIOES and BILOU: a span begins at B, S or U, and at any other tag that does not continue
    the type before it; it ends after E, S, L or U, and where the next does not continue it. Tags that are in none of
    these forms are the types of single tokens, as those of parts of speech.

    Args:
        tags: sequence of strings.
        location: where they are from, for the error.

    Raises:
        UserError: some tags are in one of these forms, and others are not.
    """
    matches = [TAG.fullmatch(tag) for tag in tags]
    if not any(matches):
        return [(index, index + 1, tag) for index, tag in enumerate(tags)]
    spans, is_open = [], False
    for index, (tag, match) in enumerate(zip(tags, matches, strict=True)):
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


def _read_columns(path, encoding, tag_column):
    """Yields the location, the tokens and the tags of every sentence."""
    tokens, tags, first, expected = [], [], 0, None
    for number, line in enumerate(itertools.chain(read_lines(path, encoding, split_long=False), [""]), 1):
        columns = line.split()
        if columns and columns[0] == DOCUMENT_START:
            columns = []
        if not columns:
            if tokens:
                yield f"{path}, lines {first} to {number - 1}", tokens, tags
            tokens, tags = [], []
            continue
        if not tokens:
            if columns[0] == "#" and not TAG.fullmatch(columns[-1]):
                continue  # a comment before a sentence
            first = number
        expected = expected or len(columns)
        if len(columns) < 2 or len(columns) != expected:
            expects = max(expected, 2) if len(columns) > 1 else "at least 2"
            raise UserError(
                f"{path}, line {number}: {len(columns)} column{'s' * (len(columns) > 1)}; expected {expects}, a token "
                "and its tag among them."
            )
        if tag_column and tag_column > len(columns):
            raise UserError(f"{path} has columns 1 to {len(columns)}; received --tag-column {tag_column}.")
        tokens.append(columns[0])
        tags.append(columns[tag_column - 1 if tag_column else -1])


def _join(location, tokens, tags):
    """Returns tokens joined by spaces, and their spans."""
    ends = list(itertools.accumulate(len(token) + 1 for token in tokens))
    starts = [end - len(token) - 1 for token, end in zip(tokens, ends, strict=True)]
    spans = find_spans(tags, location)
    return " ".join(tokens), tuple(Span(starts[first], ends[last - 1] - 1, name) for first, last, name in spans)


def _read_object(location, row):
    tokens = row.get("tokens")
    if isinstance(tokens, list):
        tags = next((row[key] for key in TAG_KEYS if key in row), None)
        if not _are_strings(tokens) or not _are_strings(tags) or len(tokens) != len(tags):
            raise UserError(f"{location}: expected a list of tokens and one of as many tags, all of them strings.")
        return _join(location, tokens, tags)
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
    return text, tuple(spans)


def _read_span(location, text, span):
    if isinstance(span, dict):
        values = [span.get("start"), span.get("end"), span.get("label", span.get("type"))]
    else:
        values = span if isinstance(span, list) else []
    match values:
        case [int(start), int(end), str(name)] if 0 <= start < end <= len(text) and name:
            return Span(start, end, name)
    raise UserError(
        f"{location}: expected a span of start, end and label within a text of {len(text)} characters; received "
        f"{json.dumps(span)[:60]}."
    )


def _are_strings(values):
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
