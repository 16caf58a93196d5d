"""Cache of decoded images on disk: decoding is done once, and data sets may be larger than memory."""

import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from karpa_tf.data.cache import cache_folder, compute_fingerprint
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
    folder_name = f"{Path(name).name or 'images'}-{key}"
    directory = cache_folder(folder_name, lambda folder: _write(folder, decode_all()), image_format.cache_dir)
    metadata = json.loads((directory / "metadata.json").read_text())
    indices, labels = np.load(directory / "indices.npy"), np.load(directory / "labels.npy")
    shape = (len(indices), image_format.image_size, image_format.image_size, image_format.channels)
    # Empty files cannot be mapped.
    make_array = functools.partial(np.memmap, directory / "images.bin", mode="r") if len(indices) else np.zeros
    images = make_array(shape=shape, dtype=np.uint8)
    names = tuple(names[index] for index in indices) if names else ()
    return ImageSet(
        name,
        images,
        compute_fingerprint(metadata["digest"], shape, labels.tolist(), names, classes),
        tuple(metadata["skipped"]),
        labels if classes else None,
        tuple(classes),
        names,
    )


def _write(folder, examples):
    indices, labels, skipped, digest = [], [], [], hashlib.sha256()
    with open(folder / "images.bin", "wb") as file:
        for index, (image, label, reason) in enumerate(examples):
            if image is None:
                skipped.append(reason)
            else:
                content = image.tobytes()
                file.write(content)
                digest.update(content)
                indices.append(index)
                labels.append(label)
    np.save(folder / "indices.npy", np.array(indices, np.int64))
    np.save(folder / "labels.npy", np.array(labels, np.int32))
    (folder / "metadata.json").write_text(json.dumps({"skipped": skipped, "digest": digest.hexdigest()}))
