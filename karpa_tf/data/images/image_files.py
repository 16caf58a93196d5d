"""Images that are kept as files and decoded whenever they are read."""

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from karpa_tf.data.images.decoding import center_crop_and_resize, decode_part, resize_part
from karpa_tf.data.images.geometry import draw_crops

CHUNK_SIZE = 256
"""Images that are decoded at a time, outside of input pipelines."""


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFiles:
    """Files of any size in one large file, read by their indices; what is returned are central squares.

    Indexing gives the same pixels as an array of the decoded squares would.
    """

    path: Path
    """The file with the content of every `PreparedFile`, one after the other."""

    entries: np.ndarray
    """int64 (n, 5): position in the file, number of bytes, EXIF orientation, height and width of the upright image."""

    image_size: int
    """Height and width of the squares."""

    channels: int
    """1 for grayscale, 3 for RGB."""

    dtype = np.dtype(np.uint8)

    @property
    def shape(self):
        """(n, height, width, channels) of the squares."""
        return len(self.entries), self.image_size, self.image_size, self.channels

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, positions):
        """Returns the central squares at an int, a slice or an array of ints, as an array."""
        indices = np.arange(len(self))[positions]
        flat = indices.reshape(-1)
        squares = np.empty((len(flat), *self.shape[1:]), np.uint8)
        decode = _make_decoder(self.image_size, self.channels)
        for start in range(0, len(flat), CHUNK_SIZE):
            chunk = slice(start, start + CHUNK_SIZE)
            squares[chunk] = decode(*self.read(flat[chunk]))
        return squares.reshape(*indices.shape, *self.shape[1:])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype)

    def select(self, indices):
        """Returns the `ImageFiles` of the images at `indices`, int (m,), in that order."""
        return dataclasses.replace(self, entries=self.entries[indices])

    def read(self, indices):
        """Returns files, an object array of bytes (m,), and orientations, heights and widths, int64 (m, 3).

        Args:
            indices: int (m,).
        """
        entries = self.entries[indices]
        contents = np.empty(len(entries), object)
        # Not a memory map: on a disk that is not in memory that takes three times as long, and what was read counts as
        # memory of the process.
        contents[:] = [os.pread(self._file.fileno(), size, start) for start, size in entries[:, :2].tolist()]
        return contents, entries[:, 2:]

    def gather_squares(self, indices):
        """Returns central squares, uint8 (batch, height, width, channels), decoded in TensorFlow ops.

        Args:
            indices: int64 (batch,).
        """
        return _decode_squares(*self._gather(indices), self.image_size, self.channels)

    def gather_crops(self, indices, crop_scale, seed):
        """Returns random crops of the whole images, resized to the size of the squares, uint8, in TensorFlow ops.

        Areas and aspect ratios are those of `draw_crops`, and positions are uniform.

        Args:
            indices: int64 (batch,).
            crop_scale: smallest fraction of the image's area, below 1.
            seed: int64 (2,), different for every batch.
        """
        contents, sizes = self._gather(indices)
        boxes = draw_crops(sizes[:, 1], sizes[:, 2], crop_scale, seed)

        def decode(item):
            content, size, box = item
            return resize_part(decode_part(content, *tf.unstack(size), box), self.image_size, self.channels)

        return _map_in_parallel(decode, (contents, sizes, boxes), self.shape[1:])

    @functools.cached_property
    def _file(self):
        return open(self.path, "rb", buffering=0)

    def _gather(self, indices):
        contents, sizes = tf.numpy_function(self.read, [indices], (tf.string, tf.int64), stateful=False)
        return tf.ensure_shape(contents, indices.shape), tf.ensure_shape(sizes, (*indices.shape, 3))


@functools.cache
def _make_decoder(image_size, channels):
    signature = [tf.TensorSpec((None,), tf.string), tf.TensorSpec((None, 3), tf.int64)]

    def decode(contents, sizes):
        return _decode_squares(contents, sizes, image_size, channels)

    return tf.function(decode, input_signature=signature)


def _decode_squares(contents, sizes, image_size, channels):
    def decode(item):
        content, (orientation, height, width) = item[0], tf.unstack(item[1])
        side = tf.minimum(height, width)
        box = tf.stack([(height - side) // 2, (width - side) // 2, side, side])
        return center_crop_and_resize(decode_part(content, orientation, height, width, box), image_size, channels)

    return _map_in_parallel(decode, (contents, sizes), (image_size, image_size, channels))


def _map_in_parallel(decode, items, shape):
    """Returns the images, uint8 of a shape, that `decode`, of ops without state, makes of items, many at a time."""
    signature = tf.TensorSpec(shape, tf.uint8)
    return tf.map_fn(decode, items, fn_output_signature=signature, parallel_iterations=os.cpu_count() or 1)
