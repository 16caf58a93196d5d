"""HTML of pages that need no network and no scripts: escaped text, tables, images as data URIs, and Markdown."""

import base64
import html
import math
import re
from importlib.resources import files

MAX_IMAGE_BYTES = 6_000_000
"""Larger images are named instead of embedded."""

TYPES = {".png": "png", ".gif": "gif", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
"""Media types of images by the suffix of their file."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Html(str):
    """A string that is HTML already; every other value is escaped."""

    __slots__ = ()


def text(value, name=""):
    """Returns a value as HTML: lists and dicts in one line, and numbers as `format_number(value, name)`."""
    return value if isinstance(value, Html) else Html(html.escape(format_value(value, name)))


def format_value(value, name=""):
    """Returns a value as plain text in one line."""
    if isinstance(value, dict):
        value = [f"{key} {format_value(item, key)}" for key, item in value.items()]
    if isinstance(value, list | tuple):
        rest = f" and {len(value) - 12:,} more" if len(value) > 12 else ""
        return ", ".join(map(format_value, value[:12])) + rest or "none"
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    return format_number(value, name) if isinstance(value, int | float) else str(value)


def format_number(value, name=""):
    """Returns a number as text: accuracies and fractions as percentages, and others with four digits."""
    if not math.isfinite(value):
        return str(value)
    if "accuracy" in name or name.endswith("fraction"):
        return f"{value:.2%}"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.4g}"
    return f"{value:.4g}"


def label(name):
    """Returns the name of a metric or field as people read it."""
    return str(name).replace("_", " ")


def element(tag, content, css=""):
    """Returns an element with content that is HTML already."""
    return Html(f'<{tag} class="{css}">{content}</{tag}>' if css else f"<{tag}>{content}</{tag}>")


def section(title, *parts):
    """Returns a section of the page with an anchor for its title, or "" if it has no content."""
    content = "".join(filter(None, parts))
    anchor = re.sub(r"\W+", "-", title.lower())
    return Html(f'<section id="{anchor}"><h2>{text(title)}</h2>{content}</section>') if content else Html()


def fields(values, css="fields"):
    """Returns a dict as a list of names and values."""
    items = (f"<div><dt>{text(label(key))}</dt><dd>{text(value, str(key))}</dd></div>" for key, value in values.items())
    return element("dl", "".join(items), css) if values else Html()


def table(header, rows, css="", limit=200):
    """Returns a table that scrolls in itself; of more than `limit` rows the first ones.

    Args:
        header: names of the columns; cells are formatted as the metric of this name.
        rows: list of sequences.
        css: class of the table.
        limit: maximum number of rows.
    """
    head = "".join(f"<th scope=col>{text(name if isinstance(name, Html) else label(name))}</th>" for name in header)
    body = "".join(
        "<tr>"
        + "".join(element("td", text(cell, str(name))) for name, cell in zip(header, row, strict=False))
        + "</tr>"
        for row in rows[:limit]
    )
    rest = element("p", f"{len(rows) - limit:,} more rows are in the file.", "note") if len(rows) > limit else ""
    return Html(f'<div class="wide"><table class="{css}"><thead><tr>{head}</tr></thead>{body}</table></div>{rest}')


def code(lines):
    """Returns commands or code to copy."""
    return element("pre", f"<code>{text(lines)}</code>") if lines else Html()


def details(summary, content):
    """Returns content that is hidden until its summary is clicked."""
    return Html(f"<details><summary>{text(summary)}</summary>{content}</details>") if content else Html()


def image(path, caption="", css=""):
    """Returns an image file, embedded, with its caption."""
    if path.stat().st_size > MAX_IMAGE_BYTES:
        return element("p", f"{text(path.name)} is too large for this page.", "note")
    data = base64.b64encode(path.read_bytes()).decode()
    embedded = f'<img alt="{text(caption or path.stem)}" src="data:image/{TYPES[path.suffix.lower()]};base64,{data}">'
    return element("figure", embedded + element("figcaption", text(caption)), css)


def markdown(lines):
    """Returns Markdown without its title as HTML: headings, paragraphs, lists, tables and code."""
    blocks = re.split(r"\n\s*\n", re.sub(r"\A# .*\n", "", lines).strip())
    return Html("".join(map(_markdown_block, filter(None, blocks))))


def _markdown_block(block):
    rows = block.splitlines()
    if block.startswith("```"):
        return code("\n".join(rows[1:-1]))
    if block.startswith("#"):
        return element("h3", _inline(block.lstrip("# ")))
    if block.startswith("- "):
        return element("ul", "".join(element("li", _inline(item)) for item in re.split(r"(?:\A|\n)- ", block)[1:]))
    if block.startswith("|"):
        cells = [[_inline(cell.strip()) for cell in row.strip().strip("|").split("|")] for row in rows]
        return table(cells[0], [row for row in cells[1:] if set("".join(row)) - set("-: ")])
    return element("p", _inline(block))


def _inline(words):
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words)))


def page(title, body):
    """Returns a complete page; it loads nothing, and its policy forbids it to."""
    style = files("karpa_tf.evaluation").joinpath("pages.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n<title>{text(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<style>\n{style}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )
