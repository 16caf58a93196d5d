"""Texts that a search has found, for a terminal, a table and a page."""

import re
from pathlib import Path

from karpa_tf.errors import UserError, first_line
from karpa_tf.evaluation.markup import element, page, text
from karpa_tf.system.files import write_text
from karpa_tf.system.text_files import write_table

MAX_CHARACTERS = 300
"""Maximum length of a text in a terminal and on a page; longer ones are shortened."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
"""Control characters, which could change a terminal."""


def list_entities(entities, read_texts):
    """Returns what is known about entities as results of a search.

    Args:
        entities: list of `search.entities.Entity`.
        read_texts: function of ids to texts.

    Returns:
        For each entity two pairs of a title and a list: the linked entities with the number of sentences, and the texts
        that name it with None.
    """
    results = []
    for entity in entities:
        name, mentions = f"{entity.name} {entity.type}", f"{entity.mentions:,} mention{'s' * (entity.mentions != 1)}"
        linked = [(f"{other} {kind}", count) for other, kind, count in entity.linked]
        results.append((f"{name}, {mentions}, is named by sentences together with", linked))
        results.append((f"{name} in texts", [(words, None) for words in read_texts(entity.text_ids)]))
    return results


def format_results(results):
    """Returns what has been found as text for a terminal.

    Args:
        results: list of (query, [(text, score), ...]); a score may be None.
    """
    lines = []
    for query, found in results:
        lines += [_shorten(query), *(f"  {_format(score):>7}  {_shorten(words)}" for words, score in found)]
        lines += [] if found else ["  nothing found"]
    return "\n".join(lines)


def save_table(path, results):
    """Writes a CSV file with one row per text; raises `UserError`, naming --out, if it cannot be written."""
    rows = (
        (query, rank, _format(score), words) for query, found in results for rank, (words, score) in enumerate(found, 1)
    )
    write_table(path, ["query", "rank", "score", "text"], rows)


def save_page(path, results):
    """Writes a page with what has been found; raises `UserError`, naming --page, if it cannot be written."""
    parts = [element("header", element("h1", "Search"))]
    for query, found in results:
        items = (
            element("li", text(_shorten(words)) + element("small", text(f" {_format(score)}")))
            for words, score in found
        )
        parts += [
            element("h2", text(_shorten(query))),
            element("ol", "".join(items)) if found else element("p", "nothing found"),
        ]
    try:
        write_text(Path(path), page("Search", "".join(parts)))
    except (OSError, ValueError) as error:  # "." has no name
        raise UserError(f"--page {path} cannot be written ({first_line(error)}).") from error


def _format(score):
    return "" if score is None else f"{score:.4g}"


def _shorten(words):
    words = " ".join(CONTROL.sub(" ", words).split())
    return words[:MAX_CHARACTERS] + "…" * (len(words) > MAX_CHARACTERS)
