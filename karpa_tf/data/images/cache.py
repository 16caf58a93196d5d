"""Caches of images on disk, decoded or as files: they are converted once, and may be larger than memory."""

import array
import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from karpa_tf.data.cache import cache_folder, compute_fingerprint
from karpa_tf.data.images.image_files import ImageFiles
from karpa_tf.data.images.image_set import ImageSet


def load_cached_images(name, key, image_format, decode_all, classes=(), names=()):
    """Returns an `ImageSet` from the cache, after decoding and caching its images if they are not cached yet.

    Args:
        name: name of the data set, or path of the folder.
        key: `compute_fingerprint` of everything that the decoded images depend on, such as the times of the files. The
            fingerprint of the `ImageSet` depends on the decoded images, their names and labels alone.
        image_format: an `ImageFormat`.
        decode_all: function without arguments that returns an iterator of one tuple (image, label, reason) per image:
            uint8 (image_size, image_size, channels), the index of the class or -1, and None; or (None, -1, reason)
            for an image to skip.
        classes: names of the classes; empty for unlabeled images.
        names: names of all images that `decode_all` yields, or empty.

    Raises:
        UserError: the cache cannot be written.
    """
    directory = _cache(name, key, image_format, decode_all, _unpack_pixels)
    shape = (_count(directory), image_format.image_size, image_format.image_size, image_format.channels)
    # Empty files cannot be mapped.
    make_array = functools.partial(np.memmap, directory / "images.bin", mode="r") if shape[0] else np.zeros
    return _make_image_set(name, directory, make_array(shape=shape, dtype=np.uint8), shape, classes, names)


def load_cached_files(name, key, image_format, prepare_all, classes=(), names=()):
    """Returns an `ImageSet` of `ImageFiles` from the cache, after preparing them if they are not cached yet.

    Arguments are those of `load_cached_images`; `prepare_all` returns an iterator of tuples with a `PreparedFile`
    instead of a decoded image. The fingerprint depends on the content of the files.
    """
    directory = _cache(name, key, image_format, prepare_all, _unpack_file)
    entries = np.load(directory / "entries.npy").reshape(-1, 4)
    starts = np.cumsum(entries[:, 0]) - entries[:, 0]
    images = ImageFiles(
        directory / "images.bin",
        np.column_stack([starts, entries]),
        image_format.image_size,
        image_format.channels,
    )
    return _make_image_set(name, directory, images, ("files", *images.shape), classes, names)


def _cache(name, key, image_format, read_all, unpack):
    return cache_folder(
        f"{Path(name).name or 'images'}-{key}",
        lambda folder: _write(folder, read_all(), unpack),
        image_format.cache_dir,
    )


def _write(folder, examples, unpack):
    """Writes what `_make_image_set` reads; `unpack` returns the bytes of an image and numbers to keep beside them."""
    # Packed, since there may be millions.
    indices, labels, entries = array.array("q"), array.array("i"), array.array("q")
    skipped, digest = [], hashlib.sha256()
    with open(folder / "images.bin", "wb") as file:
        for index, (image, label, reason) in enumerate(examples):
            if image is None:
                skipped.append(reason)
                continue
            content, numbers = unpack(image)
            file.write(content)
            digest.update(content)
            indices.append(index)
            labels.append(label)
            entries.extend(numbers)
    np.save(folder / "indices.npy", np.array(indices, np.int64))
    np.save(folder / "labels.npy", np.array(labels, np.int32))
    np.save(folder / "entries.npy", np.array(entries, np.int64))
    (folder / "metadata.json").write_text(json.dumps({"skipped": skipped, "digest": digest.hexdigest()}))


def _unpack_pixels(image):
    return image.tobytes(), ()


def _unpack_file(file):
    return file.content, (len(file.content), file.orientation, file.height, file.width)


def _count(directory):
    return len(np.load(directory / "indices.npy"))


def _make_image_set(name, directory, images, identity, classes, names):
    metadata = json.loads((directory / "metadata.json").read_text())
    indices, labels = np.load(directory / "indices.npy"), np.load(directory / "labels.npy")
    names = tuple(names[index] for index in indices) if names else ()
    return ImageSet(
        name,
        images,
        compute_fingerprint(metadata["digest"], identity, labels.tolist(), names, classes),
        tuple(metadata["skipped"]),
        labels if classes else None,
        tuple(classes),
        names,
    )
