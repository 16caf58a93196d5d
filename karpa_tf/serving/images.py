"""The number of pixels of encoded images, from their headers: a small file can stand for gigabytes of pixels."""

import io
import re

from PIL import Image

START = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP", re.DOTALL)
"""First bytes of a PNG, JPEG, GIF or WebP file. A BMP file is as large as its pixels."""


def count_pixels(content):
    """Returns the pixels, of all frames, of the first image within some bytes, such as a `tf.train.Example`."""
    match = START.search(content)
    if match is None:
        return 0
    try:
        with Image.open(io.BytesIO(content[match.start() :])) as image:
            return image.width * image.height * getattr(image, "n_frames", 1)
    except Image.DecompressionBombError:
        return 2 * Image.MAX_IMAGE_PIXELS
    except Exception:  # Pillow raises errors of many classes for a damaged file; TensorFlow will refuse it.
        return 0
