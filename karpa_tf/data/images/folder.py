"""Folders of image files: nested, of any size and format, possibly with unreadable files."""

import functools
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf
from PIL import Image

from karpa_tf.data.cache import compute_fingerprint
from karpa_tf.data.images.cache import load_cached_images
from karpa_tf.data.images.decoding import decode_square
from karpa_tf.data.images.files import SUFFIXES, convert_to_png
from karpa_tf.data.walk import FolderWalk, to_text
from karpa_tf.errors import UserError, first_line
from karpa_tf.system.console import track


def load_folder(directory, image_format):
    """Returns the `ImageSet` of all images below a folder, sorted by path; unreadable files are skipped.

    Args:
        directory: path of the folder.
        image_format: an `ImageFormat`.

    Raises:
        UserError: the folder has no images; no image can be read; or some are smaller than the image size and
            `small_images` is "refuse".
    """
    walk = FolderWalk(SUFFIXES)
    files = walk.find_files(directory)
    walk.warn(directory)
    return load_files(directory, files, image_format)


def load_files(directory, files, image_format, labels=None, classes=()):
    """Returns the `ImageSet` of some of the images below a folder; as `load_folder` otherwise.

    Args:
        directory: path of the folder.
        files: list of paths below it.
        image_format: an `ImageFormat`.
        labels: list of the index in `classes` of every file, or None.
        classes: names of the classes.
    """
    directory = Path(directory)
    if not files:
        raise UserError(
            f"--data {directory} has no images; expected files ending in {', '.join(SUFFIXES)}, at any depth."
        )
    names = [to_text(file.relative_to(directory)) for file in files]
    labels = labels or [-1] * len(files)
    stats = [(name, *_read_size_and_time(file), label) for name, file, label in zip(names, files, labels, strict=True)]
    fingerprint = compute_fingerprint(
        str(directory.resolve()), stats, image_format.image_size, image_format.channels, image_format.small_images
    )
    image_set = load_cached_images(
        str(directory.resolve()),
        fingerprint,
        image_format,
        lambda: _decode_all(files, labels, image_format),
        classes,
        names,
    )
    if not len(image_set.images):
        raise UserError(
            f"None of the {len(files)} images in --data {directory} can be used; the first: {image_set.skipped[0]}"
        )
    return image_set


def _read_size_and_time(file):
    try:
        return file.stat().st_size, file.stat().st_mtime_ns
    except OSError:  # for example a broken link, which `_decode` reports
        return None, None


def _decode_all(files, labels, image_format):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if image_format.small_images == "refuse":
            # Check the headers of all files before decoding the first one.
            sizes = _map_in_order(pool, _read_shorter_side, files, "Reading image sizes")
            _require_large(files, sizes, image_format)
        results = _map_in_order(pool, lambda file: _decode(file, image_format), files, "Decoding images")
        for (image, reason), label in zip(results, labels, strict=True):
            yield image, label, reason


def _require_large(files, sizes, image_format):
    small = {file: size for file, size in zip(files, sizes, strict=True) if size and size < image_format.image_size}
    if small:
        smallest = min(small, key=small.get)
        count = f"{len(small)} of {len(files)} images" if len(files) > 1 else "the only image"
        raise image_format.too_small(
            f"{count} (the smallest, {smallest}, has {small[smallest]} pixels on its shorter side) "
            f"{'is' if len(files) == 1 else 'are'}",
            small[smallest],
        )


def _map_in_order(pool, function, files, description):
    """Returns an iterator of function(file) for every file, in order, with a progress bar; computes in chunks."""
    chunk_size = 64 * (os.cpu_count() or 1)
    chunks = (files[start : start + chunk_size] for start in range(0, len(files), chunk_size))
    results = itertools.chain.from_iterable(pool.map(function, chunk) for chunk in chunks)
    return track(results, description, total=len(files))


def _read_shorter_side(file):
    """Returns the shorter side of an image in pixels, or None if the file cannot be read."""
    try:
        with Image.open(file) as image:
            return min(image.size)
    except Exception:  # Pillow raises errors of many types; `_decode` reports the file and the error.
        return None


def _decode(file, image_format):
    """Returns (image, None), or (None, reason) for an image to skip."""
    size = _read_shorter_side(file) if image_format.small_images == "skip" else None
    if size and size < image_format.image_size:
        return None, f"{file}: the shorter side of {size} pixels is too small"
    return try_read_square(file, image_format.image_size, image_format.channels)


def try_read_square(file, image_size, channels):
    """Returns (`read_square(...)`, None), or (None, reason) if the file cannot be read."""
    try:
        return read_square(file, image_size, channels), None
    except Exception as error:  # TensorFlow and Pillow raise errors of many types.
        return None, f"{file}: {first_line(error)}"


def read_square(file, image_size, channels):
    """Returns the largest central square of an image file, uint8 (image_size, image_size, channels).

    Decodes as `decode_square` does. Formats that only Pillow can read are converted to PNG first.
    """
    decode = _make_decoder(image_size, channels)
    data = Path(file).read_bytes()
    try:
        return decode(tf.constant(data)).numpy()
    except tf.errors.OpError:
        with Image.open(file) as image:
            data = convert_to_png(image)
        return decode(tf.constant(data)).numpy()


@functools.cache
def _make_decoder(image_size, channels):
    signature = [tf.TensorSpec((), tf.string)]
    return tf.function(lambda data: decode_square(data, image_size, channels), input_signature=signature)
