"""Image files as they lie on the disk: found, checked, and made readable for TensorFlow, which is not imported."""

import io
from pathlib import Path

from PIL import Image, ImageOps

from karpa_tf.data.walk import FolderWalk
from karpa_tf.errors import UserError, first_line

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")

FORMATS = ("JPEG", "MPO", "PNG", "GIF")
"""Formats, as Pillow names them, of files that `try_read_file` does not convert. MPO is JPEG with several images."""


def list_image_files(names):
    """Returns the paths of image files, given a list of files and folders.

    Raises:
        UserError: one does not exist, or there are no files.
    """
    files = []
    for name in names:
        if not Path(name).exists():
            raise UserError(f"There is no image or folder {name}.")
        if Path(name).is_dir():
            walk = FolderWalk(SUFFIXES)
            files += walk.find_files(name)
            walk.warn(name)
        else:
            files.append(Path(name))
    if not files:
        raise UserError(f"There are no images in {', '.join(names)}; expected files ending in {', '.join(SUFFIXES)}.")
    return files


def try_read_file(file):
    """Returns (content, None) of an image file, converted to PNG where TensorFlow may not decode it.

    If it cannot be read, returns (None, reason).
    """
    try:
        with Image.open(file) as image:
            image.load()
            return Path(file).read_bytes() if image.format in FORMATS else convert_to_png(image), None
    except Exception as error:  # Pillow raises errors of many types.
        return None, f"{file}: {first_line(error)}"


def convert_to_png(image):
    """Returns a Pillow image as the content of a PNG file, upright, in RGB or RGBA."""
    image = ImageOps.exif_transpose(image)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
