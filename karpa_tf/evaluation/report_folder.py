"""The folder of a report as HTML, whichever tool wrote it.

A tool needs no code here: in its `report.json` numbers become figures, texts are listed, and lists and dicts of dicts
become tables; CSV files become tables, and images and `summary.md` are shown. A few files of classifiers and language
models are shown in a form of their own.
"""

import csv
import re

from karpa_tf.evaluation import marked_spans, markup
from karpa_tf.evaluation.markup import Html, element, text
from karpa_tf.evaluation.results import is_number, read_json

MAX_CELLS = 12
"""Maximum number of classes of a confusion matrix in text; the image has more."""

MAX_SHOWN = 12
"""Number of mistakes and of rows of other tables."""

MAX_CHARACTERS = 300
"""Maximum length of a cell of such a table."""

CAPTIONS = {
    "confusion": "Confusion matrix: true classes in rows, predicted classes in columns",
    "reliability": "Reliability: how often predictions of each confidence are right",
    "scatter": "Predicted numbers over true ones; on the line they are equal",
    "neighbors": "Generated images that are nearest to a real one, in the first column, and their nearest real images",
    "mistakes": "Most confident mistakes: the true class, and the predicted one with its probability",
}


def show_folder(folder):
    """Returns what a report's folder holds as HTML."""
    report = read_json(folder / "report.json")
    parts = [markup.fields({key: value for key, value in report.items() if is_number(value)}, "numbers")]
    parts.append(markup.fields({key: value for key, value in report.items() if isinstance(value, str)}))
    parts += [_show_table(key, value) for key, value in report.items()]
    if (folder / "summary.md").exists():
        parts.append(markup.markdown((folder / "summary.md").read_text(encoding="utf-8")))
    if (folder / "examples.txt").exists():
        parts.append(_show_filled_masks((folder / "examples.txt").read_text(encoding="utf-8")))
    if (folder / marked_spans.SPANS_FILE).exists():
        content = (folder / marked_spans.SPANS_FILE).read_text(encoding="utf-8")
        parts.append(marked_spans.show_spans_file(content, MAX_SHOWN))
    shown, files = set(), sorted(folder.iterdir()) if folder.is_dir() else []
    for file in (file for file in files if file.suffix == ".csv"):
        content = _show_csv(file)
        shown |= {file.stem} if content else set()
        parts.append(content)
    images = [file for file in files if file.suffix.lower() in markup.TYPES and file.stem not in shown]
    captioned = [markup.image(file, CAPTIONS.get(file.stem, markup.label(file.stem)), file.stem) for file in images]
    return "".join([*filter(None, parts), element("div", "".join(captioned), "images") if captioned else ""])


def _show_table(key, value):
    """Returns a list of dicts, or a dict of dicts, of a report as a table."""
    entries = list(value.values()) if isinstance(value, dict) else value
    if not (isinstance(entries, list) and entries and all(isinstance(entry, dict) for entry in entries)):
        return ""
    columns = list(dict.fromkeys(name for entry in entries for name in entry))
    rows = [[entry.get(name) for name in columns] for entry in entries]
    if isinstance(value, dict):
        columns, rows = ["", *columns], [[name, *row] for name, row in zip(value, rows, strict=True)]
    content = markup.table(columns, rows)
    title = markup.label(key).capitalize()
    return (
        markup.details(f"{title} ({len(rows):,})", content) if len(rows) > 6 else element("h3", text(title)) + content
    )


def _show_csv(file):
    """Returns a table, or the images that it is about; "" if its image shows more."""
    with open(file, newline="", encoding="utf-8") as lines:
        header, *rows = list(csv.reader(lines)) or [[]]
    caption = element("h3", text(CAPTIONS.get(file.stem, markup.label(file.stem).capitalize())))
    if file.stem == "confusion":
        return caption + _show_confusion(header, rows) if len(rows) <= MAX_CELLS else ""
    if file.stem == "mistakes" and header[0] == "image":
        pairs = [(file.parent / "mistakes" / f"{rank:02}.png", row) for rank, row in enumerate(rows[:MAX_SHOWN])]
        tiles = [markup.image(path, f"{row[1]} → {row[2]} {float(row[3]):.0%}") for path, row in pairs if path.exists()]
        return caption + element("div", "".join(tiles), "tiles") if tiles else ""
    shortened = [[cell[:MAX_CHARACTERS] + "…" * (len(cell) > MAX_CHARACTERS) for cell in row] for row in rows]
    return caption + markup.table(header, shortened, "texts", MAX_SHOWN) if rows else ""


def _show_confusion(header, rows):
    cells = [[int(count) for count in row[1:]] for row in rows]
    body = ""
    for row, counts in zip(rows, cells, strict=True):
        shades = [count / max(sum(counts), 1) for count in counts]
        tds = "".join(
            f'<td class="{"dark" if shade > 0.65 else ""}" style="--shade:{shade:.3f}">{count or ""}</td>'
            for count, shade in zip(counts, shades, strict=True)
        )
        body += f"<tr><th scope=row>{text(row[0])}</th>{tds}</tr>"
    names = "".join(f"<th scope=col><span>{text(name)}</span></th>" for name in header[1:])
    return Html(f'<div class="wide"><table class="confusion"><tr><td></td>{names}</tr>{body}</table></div>')


def _show_filled_masks(examples):
    words = str(text(examples.strip()))
    words = re.sub(r"\[(\S+), not (\S+?)\]", r"<del>\1</del><ins>\2</ins>", words)
    words = re.sub(r"\[(?!(?:SEP|UNK|CLS|PAD|MASK)\])([^\s\[\]]+)\]", r"<mark>\1</mark>", words)
    note = "Held-out text with masked words: <mark>right</mark>, or <del>predicted</del><ins>true</ins>."
    return element("p", note, "note") + "".join(element("p", row, "masked") for row in words.split("\n\n")[:MAX_SHOWN])


def show_samples(folder):
    """Returns the newest grid of samples and the animations of a folder as HTML."""
    grids, others = sorted(folder.glob("epoch-*.png")), sorted(folder.glob("*.gif"))
    shown = [(grids[-1], f"After epoch {int(grids[-1].stem[6:])}; inputs are the same in every epoch")] if grids else []
    shown += [(file, "The same inputs during training") for file in others]
    return element("div", "".join(markup.image(file, words) for file, words in shown), "images") if shown else ""
