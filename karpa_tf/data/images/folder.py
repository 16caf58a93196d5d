"""Folders of image files: nested, of any size and format, possibly with unreadable files."""

import functools
from pathlib import Path

import tensorflow as tf
from PIL import Image

from karpa_tf.data.cache import compute_fingerprint
from karpa_tf.data.images.cache import load_cached_files, load_cached_images
from karpa_tf.data.images.decoding import decode_square
from karpa_tf.data.images.files import SUFFIXES, convert_to_png
from karpa_tf.data.images.preparation import map_in_order, prepare
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
    name = str(directory.resolve())
    if image_format.keeps_files(len(files)):
        settings = "files", image_format.small_images, image_format.smallest_size
        load, read = load_cached_files, _try_prepare
    else:
        settings = image_format.image_size, image_format.channels, image_format.small_images
        load, read = load_cached_images, _try_decode
    key = compute_fingerprint(name, stats, *settings)
    image_set = load(name, key, image_format, lambda: _read_all(files, labels, image_format, read), classes, names)
    if not len(image_set.images):
        raise UserError(
            f"None of the {len(files)} images in --data {directory} can be used; the first: {image_set.skipped[0]}"
        )
    return image_set


def _read_size_and_time(file):
    try:
        return file.stat().st_size, file.stat().st_mtime_ns
    except OSError:  # for example a broken link, which is reported when it is read
        return None, None


def _read_all(files, labels, image_format, read):
    """Yields (image, label, reason) of every file; `read` returns the image of a file, and `image_format`."""
    if image_format.small_images == "refuse":
        # Check the headers of all files before reading the first one.
        sizes = track(map_in_order(_read_shorter_side, files), "Reading image sizes", total=len(files))
        _require_large(files, sizes, image_format)
    results = map_in_order(functools.partial(_read_large, read, image_format), files)
    for (image, reason), label in zip(track(results, "Reading images", total=len(files)), labels, strict=True):
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


def _read_shorter_side(file):
    """Returns the shorter side of an image in pixels, or None if the file cannot be read."""
    try:
        with Image.open(file) as image:
            return min(image.size)
    except Exception:  # Pillow raises errors of many types; they are reported when the file is read.
        return None


def _read_large(read, image_format, file):
    """Returns (image, None), or (None, reason) for an image to skip."""
    size = _read_shorter_side(file) if image_format.small_images == "skip" else None
    if size and size < image_format.image_size:
        return None, f"{file}: the shorter side of {size} pixels is too small"
    return read(file, image_format)


def try_read_square(file, image_size, channels):
    """Returns (`read_square(...)`, None), or (None, reason) if the file cannot be read."""
    return _try(read_square, file, image_size, channels)


def _try_decode(file, image_format):
    return try_read_square(file, image_format.image_size, image_format.channels)


def _try_prepare(file, image_format):
    return _try(_read_or_convert, file, prepare)


def _try(read, file, *arguments):
    try:
        return read(file, *arguments), None
    except Exception as error:  # TensorFlow and Pillow raise errors of many types.
        return None, f"{file}: {first_line(error)}"


def read_square(file, image_size, channels):
    """Returns the largest central square of an image file, uint8 (image_size, image_size, channels).

    Decodes as `decode_square` does. Formats that only Pillow can read are converted to PNG first.
    """
    decode = _make_decoder(image_size, channels)
    return _read_or_convert(file, lambda content: decode(tf.constant(content)).numpy())


def _read_or_convert(file, decode):
    """Returns what `decode` makes of the content of a file, or of the file converted to PNG if that fails."""
    content = Path(file).read_bytes()
    try:
        return decode(content)
    except tf.errors.OpError:
        with Image.open(file) as image:
            content = convert_to_png(image)
        return decode(content)


@functools.cache
def _make_decoder(image_size, channels):
    signature = [tf.TensorSpec((), tf.string)]
    return tf.function(lambda data: decode_square(data, image_size, channels), input_signature=signature)
