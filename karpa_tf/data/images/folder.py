"""A folder of images, as people have them: nested, of many sizes and kinds, a few of them broken."""

import functools
import io
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf
from PIL import Image, ImageOps

from karpa_tf.data.cache import fingerprint
from karpa_tf.data.images.cache import load_cached_images
from karpa_tf.data.images.decoding import decode_square
from karpa_tf.errors import UserError, first_line
from karpa_tf.system.console import track

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def load_folder(directory, image_format):
    """Returns the `ImageSet` of all images below `directory`, in the order of their paths.

    A file that cannot be read is named and left out; of an animated image the first frame is taken.

    Raises:
        UserError: the folder holds no images, none can be read, or some are smaller than the image_format's side
            and `small_images` is "refuse".
    """
    files = find_image_files(directory)
    return load_files(directory, files, image_format)


def load_files(directory, files, image_format, labels=None, classes=()):
    """Returns the `ImageSet` of some of the images below a folder, as `load_folder` does.

    Args:
        directory: the folder.
        files: list of paths below it.
        image_format: a `ImageFormat`.
        labels: list of the place in `classes` for every file, or None.
        classes: names of the classes.
    """
    directory = Path(directory)
    if not files:
        raise UserError(
            f"--data {directory} holds no images; expected files ending in {', '.join(SUFFIXES)}, at any depth."
        )
    keys = [str(file.relative_to(directory)) for file in files]
    labels = labels or [-1] * len(files)
    stats = [(key, *_size_and_time(file), label) for key, file, label in zip(keys, files, labels, strict=True)]
    key = fingerprint(
        str(directory.resolve()), stats, image_format.side, image_format.channels, image_format.small_images
    )
    image_set = load_cached_images(
        str(directory.resolve()), key, image_format, lambda: _rows(files, labels, image_format), classes, keys
    )
    if not len(image_set.images):
        raise UserError(
            f"None of the {len(files)} images in --data {directory} can be used; the first: {image_set.skipped[0]}"
        )
    return image_set


def find_image_files(directory):
    """Returns the sorted paths of all files below `directory` that end like images and are not hidden."""
    found, seen = [], set()
    for root, folders, names in os.walk(directory, followlinks=True):
        if (real := os.path.realpath(root)) in seen:  # a link that leads back to where we have been
            folders.clear()
            continue
        seen.add(real)
        found += [Path(root, name) for name in names]
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))


def _size_and_time(file):
    try:
        return file.stat().st_size, file.stat().st_mtime_ns
    except OSError:  # A link to nowhere, say; `_row` names it.
        return None, None


def _rows(files, labels, image_format):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if image_format.small_images == "refuse":
            # Headers first: a set is refused before any of its images is decoded.
            _require_large(files, _in_order(pool, _side, files, "Looking at images"), image_format)
        rows = _in_order(pool, lambda file: _row(file, image_format), files, "Decoding images")
        for (image, reason), label in zip(rows, labels, strict=True):
            yield image, label, reason


def _require_large(files, sides, image_format):
    small = {file: side for file, side in zip(files, sides, strict=True) if side and side < image_format.side}
    if small:
        smallest = min(small, key=small.get)
        how_many = f"{len(small)} of {len(files)} images" if len(files) > 1 else "the only image"
        raise image_format.too_small(
            f"{how_many} (the smallest, {smallest}, has {small[smallest]} pixels on its shorter side) "
            f"{'is' if len(files) == 1 else 'are'}",
            small[smallest],
        )


def _in_order(pool, function, files, description):
    """Returns an iterator of function(file) for every file, in order and a few hundred ahead, with a progress bar."""
    ahead = 64 * (os.cpu_count() or 1)
    chunks = (files[start : start + ahead] for start in range(0, len(files), ahead))
    results = itertools.chain.from_iterable(pool.map(function, chunk) for chunk in chunks)
    return track(results, description, total=len(files))


def _side(file):
    """Returns the shorter side in pixels, or None if the file cannot be read."""
    try:
        with Image.open(file) as image:
            return min(image.size)
    except Exception:  # Pillow's decoders raise errors of many kinds; `_row` names the file and the error.
        return None


def _row(file, image_format):
    """Returns (image, None), or (None, reason) for an image that is left out."""
    side = _side(file) if image_format.small_images == "skip" else None
    if side and side < image_format.side:
        return None, f"{file}: {side} pixels on the shorter side are too few"
    return try_square(file, image_format.side, image_format.channels)


def try_square(file, side, channels):
    """Returns (`read_square` of a file, None), or (None, the reason why it cannot be read)."""
    try:
        return read_square(file, side, channels), None
    except Exception as error:  # As above: whatever is wrong with one file, the others are read.
        return None, f"{file}: {first_line(error)}"


def read_square(file, side, channels):
    """Returns an image file's largest central square as uint8 (side, side, channels), as `decode_square` does.

    A kind of file that TensorFlow does not know and Pillow does is rewritten as a PNG first.
    """
    decode = _decoder(side, channels)
    data = Path(file).read_bytes()
    try:
        return decode(tf.constant(data)).numpy()
    except tf.errors.OpError:
        with Image.open(file) as image:
            image = ImageOps.exif_transpose(image)
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            buffer = io.BytesIO()
            image.save(buffer, format="PNG")
        return decode(tf.constant(buffer.getvalue())).numpy()


@functools.cache
def _decoder(side, channels):
    signature = [tf.TensorSpec((), tf.string)]
    return tf.function(lambda data: decode_square(data, side, channels), input_signature=signature)
