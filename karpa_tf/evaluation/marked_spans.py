"""Texts with their spans marked, for a terminal and for pages."""

import collections
import itertools
import json
import zlib
from pathlib import Path

from karpa_tf.errors import UserError, first_line
from karpa_tf.evaluation.markup import Html, element, page, text
from karpa_tf.system.files import write_text

SPANS_FILE = "spans.jsonl"
"""File of a report: lines with a text, its true spans and the predicted ones, lists of (start, end, type)."""

COLORS = (36, 33, 34, 35, 32, 31)
"""ANSI colors of types."""

HUES = 8
"""Number of colors of types on pages."""


def mark_for_terminal(words, spans, color):
    """Returns a text with each span in brackets with its type: "in [Japan LOC]".

    Args:
        words: the text.
        spans: sequence of (start, end, type, ...) in order, not overlapping.
        color: whether to color them by type.
    """
    parts, position = [], 0
    for start, end, name, *_ in spans:
        marked = f"[{words[start:end]} {name}]"
        if color:
            marked = f"\033[{COLORS[_hash(name) % len(COLORS)]}m{marked}\033[0m"
        parts += [words[position:start], marked]
        position = end
    return "".join([*parts, words[position:]])


def mark_for_page(words, predicted, true=None):
    """Returns a text as HTML in which spans are marked with their type.

    Args:
        words: the text.
        predicted: sequence of (start, end, type, ...).
        true: the true spans, if they are known; predicted ones that are not among them are marked as wrong, and those
            that are missing among the predicted ones are shown after the text.
    """
    known = None if true is None else {tuple(span[:3]) for span in true}
    found = [tuple(span[:3]) for span in predicted]
    parts, position = [], 0
    for span in found:
        start, end, name = span
        is_wrong = known is not None and span not in known
        css = f"span c{_hash(name) % HUES}" + " wrong" * is_wrong
        label = element("small", text(name))
        parts += [text(words[position:start]), element("mark", text(words[start:end]) + label, css)]
        position = end
    parts.append(text(words[position:]))
    missing = sorted((known or set()) - set(found))
    if missing:
        names = ", ".join(f"{words[start:end]} ({name})" for start, end, name in missing)
        parts.append(element("small", text(f" Not found: {names}")))
    return element("p", "".join(parts), "masked")


def save_page(path, results):
    """Writes a page with marked texts; raises `UserError` if it cannot be written.

    Args:
        path: the file.
        results: list of (text, [(start, end, type, score), ...]).
    """
    counts = collections.Counter(span[2] for _, spans in results for span in spans)
    found = ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "none"
    header = element("h1", "Texts with spans") + element("p", text(f"{len(results):,} texts; found: {found}"), "lead")
    body = element("header", header) + "".join(mark_for_page(words, spans) for words, spans in results)
    try:
        write_text(Path(path), page("Texts with spans", body))
    except (OSError, ValueError) as error:  # "." has no name
        raise UserError(f"--page {path} cannot be written ({first_line(error)}).") from error


def show_spans_file(lines, limit):
    """Returns the content of `SPANS_FILE` as HTML, the first `limit` texts."""
    rows = [json.loads(line) for line in itertools.islice(lines.splitlines(), limit)]
    note = "Spans that the model finds, with their types; underlined in red where they are wrong."
    marked = (mark_for_page(row["text"], row["predicted"], row["true"]) for row in rows)
    return Html(element("p", note, "note") + "".join(marked))


def _hash(name):
    return zlib.crc32(name.encode())
