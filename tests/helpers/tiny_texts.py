"""A small language of things and their colors: a pretrained model of it, and texts in which both are marked."""

import contextlib
import io
from pathlib import Path

import numpy as np

COLORS = {
    "sky": "blue",
    "sea": "blue",
    "grass": "green",
    "leaf": "green",
    "snow": "white",
    "milk": "white",
    "coal": "black",
    "crow": "black",
}


def write_tagged(path, count=160, seed=0):
    """Writes sentences in which things and colors are marked, in the columns of CoNLL-2003."""
    rng, lines = np.random.default_rng(seed), []
    for _ in range(count):
        for thing in rng.choice(list(COLORS), rng.integers(1, 4)):
            lines += [f"the D O\n{thing} N I-THING\nis V O\n{COLORS[thing]} A I-COLOR\n"]
        lines.append(". . O\n\n")
    Path(path).write_text("".join(lines))


def write_pairs(path, count=200, seed=0):
    """Writes pairs of sentences, with a label, whether both things have the same color, and a rating.

    The rating is 1 for each word black or white in the second sentence, plus 0.5.
    """
    rng, rows = np.random.default_rng(seed), ["first\tsecond\tlabel\trating"]
    for _ in range(count):
        one, two = rng.choice(list(COLORS), 2)
        is_same = "same" if COLORS[one] == COLORS[two] else "other"
        rating = 0.5 + (COLORS[two] in ("black", "white"))
        rows.append(f"the {one} is {COLORS[one]}\tthe {two} is {COLORS[two]}\t{is_same}\t{rating}")
    Path(path).write_text("\n".join(rows) + "\n")


def pretrain(folder, *words):
    """Trains a tiny masked language model for an epoch on such sentences and returns the path of its run.

    Args:
        folder: an existing folder.
        *words: more flags of `train_mlm`.
    """
    from apps import train_mlm
    from karpa_tf import cli

    rng, folder = np.random.default_rng(0), Path(folder)
    rows = [" and ".join(f"the {x} is {COLORS[x]}" for x in rng.choice(list(COLORS), 3)) for _ in range(300)]
    (folder / "text.txt").write_text("\n\n".join(f"{row}." for row in rows))
    sizes = ("--max-sequence-length", "16", "--hidden-dim", "16", "--num-layers", "1", "--intermediate-dim", "32")
    data = ("--data", str(folder / "text.txt"), "--vocabulary-size", "60", "--batch-size", "8", *sizes)
    where = ("--run", str(folder / "pretrained"), "--export-dir", str(folder / "pretrained_models"))
    with contextlib.redirect_stdout(io.StringIO()):
        run = train_mlm.run(cli.parse(train_mlm.PRESETS, "", args=["smoke", *data, *where, *words]))
    return str(run.path)
