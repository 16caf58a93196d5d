"""A few examples of a run's data, kept in the run folder, so that the run can be exported later without the data."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.system.files import publish_folder

MAX_EXAMPLES = 8

MAX_CHARACTERS = 2000
"""Maximum length of a text; longer ones are truncated."""

TEXTS = "texts.json"


def select_indices(count):
    """Returns up to `MAX_EXAMPLES` indices below `count` at equal intervals, in ascending order."""
    if count == 0:
        return np.zeros(0, int)
    return np.unique(np.linspace(0, count - 1, min(MAX_EXAMPLES, count)).round().astype(int))


def save_images(run, images):
    """Saves some images as PNG files in the run folder, unless it has examples already.

    Args:
        run: a `Run`; only the chief writes.
        images: uint8 (n, height, width, channels), an array or a memory map.
    """
    if run.writes and not run.examples.exists():
        with publish_folder(run.examples) as folder:
            for number, index in enumerate(select_indices(len(images))):
                (folder / f"{number:03}.png").write_bytes(tf.io.encode_png(images[index]).numpy())


def save_texts(run, texts, pairs=()):
    """Saves some texts of a list in the run folder, unless it has examples already; only the chief writes.

    Args:
        run: a `Run`.
        texts: list of strings.
        pairs: list of as many second texts, or none.
    """
    if run.writes and not run.examples.exists():
        selected = [texts[index][:MAX_CHARACTERS] for index in select_indices(len(texts))]
        if pairs:
            others = [pairs[index][:MAX_CHARACTERS] for index in select_indices(len(texts))]
            selected = list(zip(selected, others, strict=True))
        with publish_folder(run.examples) as folder:
            (folder / TEXTS).write_text(json.dumps(selected, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_images(run, shape):
    """Returns the images of a run, uint8 (n, height, width, channels), or None if it has none of this shape.

    Args:
        run: a `Run`.
        shape: (height, width, channels).
    """
    files = sorted(run.examples.glob("*.png"))
    images = [tf.io.decode_png(file.read_bytes(), channels=shape[-1]).numpy() for file in files]
    return np.stack(images) if images and all(image.shape == tuple(shape) for image in images) else None


def load_texts(run):
    """Returns the texts of a run, a list of strings or of pairs (lists) of them, or None if it has none."""
    file = run.examples / TEXTS
    return (json.loads(file.read_text(encoding="utf-8")) or None) if file.exists() else None
