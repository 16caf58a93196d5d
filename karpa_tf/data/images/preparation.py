"""Preparation of image files to be kept as they are: each is decoded once, and its size is noted."""

import collections
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import tensorflow as tf

from karpa_tf.data.images.decoding import JPEG, decode_with_orientation

PENDING_PER_CORE = 8
"""Items per core that `map_in_order` works on at a time, which bounds its memory."""


class PreparedFile(NamedTuple):
    """An image file that `decoding.decode_part` decodes."""

    content: bytes
    """A JPEG file as it was, or an upright, opaque PNG file of 8 bits per channel in RGB."""

    orientation: int
    """EXIF orientation of a JPEG file, 1 to 8; otherwise 1."""

    height: int
    """Of the upright image."""

    width: int


def prepare(content):
    """Returns the `PreparedFile` of an image file, bytes: JPEG is kept as it is, and all else is converted to PNG.

    The pixels of both are those of `decode_image`.

    Raises:
        tf.errors.InvalidArgumentError: as for `decode_image`.
    """
    pixels, orientation = decode_with_orientation(tf.constant(content))
    height, width, _ = pixels.shape
    if content.startswith(JPEG):
        return PreparedFile(content, int(orientation), height, width)
    return PreparedFile(tf.io.encode_png(pixels).numpy(), 1, height, width)


def map_in_order(function, items):
    """Yields function(item) for every item of an iterable, in order, computed by a thread per core."""
    cores, pending = os.cpu_count() or 1, collections.deque()
    with ThreadPoolExecutor(cores) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) == PENDING_PER_CORE * cores:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
