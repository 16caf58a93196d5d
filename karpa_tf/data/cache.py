"""Decoded images on disk, so that a second start is immediate and a set larger than memory can be read."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from karpa_tf.configs.errors import UserError
from karpa_tf.data.image_set import ImageSet
from karpa_tf.files import published_folder

LAYOUT = 1
"""Part of every fingerprint: raise it when `square` or the files below change."""


def fingerprint(*parts):
    """Returns 16 hexadecimal digits that change when any of the parts, strings or numbers, does."""
    return hashlib.sha256(json.dumps([LAYOUT, *parts]).encode()).hexdigest()[:16]


def cached_images(name, key, preparation, rows):
    """Returns the `ImageSet` of the cache, making it first if it is not there.

    Args:
        name: name of the set or folder.
        key: `fingerprint` of everything the images depend on.
        preparation: a `Preparation`.
        rows: function of no arguments whose iterator gives for each picture (image, reason): a uint8 image
            (side, side, channels) and None, or None and why the picture is left out.
    """
    directory = _cache_dir(preparation.cache_dir) / f"{Path(name).name or 'images'}-{key}"
    if not (directory / "set.json").exists():
        try:
            _write(directory, rows())
        except OSError as error:
            raise UserError(
                f"Decoded pictures cannot be kept in {directory.parent} ({error}); choose another --cache-dir."
            ) from error
    record = json.loads((directory / "set.json").read_text())
    shape = (record["count"], preparation.side, preparation.side, preparation.channels)
    if not record["count"]:
        images = np.zeros(shape, np.uint8)
    else:
        images = np.memmap(directory / "images.bin", np.uint8, mode="r", shape=shape)
    return ImageSet(name, images, key, tuple(record["skipped"]))


def _write(directory, rows):
    directory.parent.mkdir(parents=True, exist_ok=True)
    with published_folder(directory) as temporary:
        count, skipped = 0, []
        with open(temporary / "images.bin", "wb") as file:
            for image, reason in rows:
                if image is None:
                    skipped.append(reason)
                else:
                    file.write(image.tobytes())
                    count += 1
        (temporary / "set.json").write_text(json.dumps({"count": count, "skipped": skipped}))


def _cache_dir(cache_dir):
    return Path(cache_dir or os.environ.get("KARPA_CACHE") or Path.home() / ".cache" / "karpa_tf").expanduser()
