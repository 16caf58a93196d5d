"""A few examples of a run's data, kept in its folder, so that it can be exported later without the data."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.system.files import publish_folder

COUNT = 8
"""Examples that are kept."""

LONGEST = 2000
"""Characters of a text; what is longer is cut."""

TEXTS = "texts.json"


def spread(count):
    """Returns the places of up to `COUNT` examples among `count`, at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(COUNT, count)).round().astype(int)) if count else np.zeros(0, int)


def save_images(run, images):
    """Keeps images as PNG files, unless the folder of the run has examples already.

    Args:
        run: a `Run`; of several workers the chief alone writes.
        images: uint8 (n, height, width, channels), an array or a memory map, of which a few are taken.
    """
    if run.writes and not run.examples.exists():
        with publish_folder(run.examples) as folder:
            for number, place in enumerate(spread(len(images))):
                (folder / f"{number:03}.png").write_bytes(tf.io.encode_png(images[place]).numpy())


def save_texts(run, texts):
    """Keeps texts, a list of strings, as `save_images` does images."""
    if run.writes and not run.examples.exists():
        kept = [texts[place][:LONGEST] for place in spread(len(texts))]
        with publish_folder(run.examples) as folder:
            (folder / TEXTS).write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_images(run, shape):
    """Returns the images of a run, uint8 (n, height, width, channels), or None where it has none of this shape."""
    files = sorted(run.examples.glob("*.png"))
    images = [tf.io.decode_png(file.read_bytes(), channels=shape[-1]).numpy() for file in files]
    return np.stack(images) if images and all(image.shape == tuple(shape) for image in images) else None


def load_texts(run):
    """Returns the texts of a run, a list, or None where it has none."""
    file = run.examples / TEXTS
    return (json.loads(file.read_text(encoding="utf-8")) or None) if file.exists() else None
