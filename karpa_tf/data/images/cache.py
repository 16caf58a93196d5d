"""Decoded images on disk, so that a second start is immediate and a set larger than memory can be read."""

import json
from pathlib import Path

import numpy as np

from karpa_tf.data.cache import cache_folder
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.errors import UserError
from karpa_tf.system.files import publish_folder


def load_cached_images(name, key, image_format, rows, classes=(), keys=()):
    """Returns the `ImageSet` of the cache, making it first if it is not there.

    Args:
        name: name of the set or folder.
        key: `fingerprint` of everything the images depend on.
        image_format: a `ImageFormat`.
        rows: function of no arguments whose iterator gives for each image (image, label, reason): a uint8 image
            (side, side, channels), the place of its class or -1, and None; or None, -1 and why it is left out.
        classes: names of the classes; none means that there are no labels.
        keys: what the images of `rows` are called, or nothing.
    """
    directory = cache_folder(image_format.cache_dir) / f"{Path(name).name or 'images'}-{key}"
    if not (directory / "set.json").exists():
        try:
            _write(directory, rows())
        except OSError as error:
            raise UserError(
                f"Decoded images cannot be kept in {directory.parent} ({error}); choose another --cache-dir."
            ) from error
    record = json.loads((directory / "set.json").read_text())
    kept, labels = np.load(directory / "kept.npy"), np.load(directory / "labels.npy")
    shape = (len(kept), image_format.side, image_format.side, image_format.channels)
    images = np.memmap(directory / "images.bin", np.uint8, "r", shape=shape) if len(kept) else np.zeros(shape, np.uint8)
    return ImageSet(
        name,
        images,
        key,
        tuple(record["skipped"]),
        labels if classes else None,
        tuple(classes),
        tuple(keys[place] for place in kept) if keys else (),
    )


def _write(directory, rows):
    directory.parent.mkdir(parents=True, exist_ok=True)
    with publish_folder(directory) as temporary:
        kept, labels, skipped = [], [], []
        with open(temporary / "images.bin", "wb") as file:
            for place, (image, label, reason) in enumerate(rows):
                if image is None:
                    skipped.append(reason)
                else:
                    file.write(image.tobytes())
                    kept.append(place)
                    labels.append(label)
        np.save(temporary / "kept.npy", np.array(kept, np.int64))
        np.save(temporary / "labels.npy", np.array(labels, np.int32))
        (temporary / "set.json").write_text(json.dumps({"skipped": skipped}))
