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
