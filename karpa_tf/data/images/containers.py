"""What image files say about themselves before they are decoded, read in TensorFlow ops.

A file is walked by its own structure (segments of JPEG, chunks of PNG and WebP), because patterns occur by chance in
thumbnails and pixels. Reading beyond the end gives zeros.
"""

from typing import NamedTuple

import tensorflow as tf

PNG = b"\x89PNG\r\n\x1a\n"

EXIF = b"Exif\0\0"

TIFF_MAGIC, ORIENTATION_TAG = 42, 0x0112

INTEGER_SIZES = {1: 1, 3: 2, 4: 4}
"""Bytes of the types byte, short and long (TIFF 6.0)."""

MAX_STEPS = 10_000
"""Maximum number of segments or chunks to walk, which bounds the time that a malicious file takes."""


PADDING = 64
"""Bytes that can be read from any position of a file."""


class File(NamedTuple):
    """Content of an image file."""

    data: tf.Tensor
    """Scalar string."""

    content: tf.Tensor
    """The same as uint8 (size + PADDING,), with zeros at the end."""

    size: tf.Tensor
    """Number of bytes, int64."""


def make_file(data):
    """Returns the `File` of a scalar string."""
    content = tf.io.decode_raw(data, tf.uint8)
    return File(data, tf.pad(content, [[0, PADDING]]), tf.size(content, tf.int64))


def starts_with(file, pattern, position=0):
    """Returns whether `pattern`, bytes, is in a `File` at a position; a scalar bool."""
    return tf.reduce_all(_read(file, position, len(pattern)) == list(pattern))


def is_webp(file):
    """Returns whether a file is a WebP image, a scalar bool."""
    return starts_with(file, b"RIFF") & starts_with(file, b"WEBP", 8)


def is_animated_webp(file):
    """Returns whether the extended header of a WebP image has the flag of animations, a scalar bool."""
    return starts_with(file, b"VP8X", 12) & (tf.bitwise.bitwise_and(_read_integer(file, 20, 1, True), 2) > 0)


def has_png_alpha(file):
    """Returns whether a PNG image has an alpha channel (color types 4 and 6) or transparent colors (chunk tRNS)."""
    color_type = _read_integer(file, 25, 1, True)
    return (color_type == 4) | (color_type == 6) | (_find_png_chunk(file, b"tRNS") > 0)


def is_plain_bmp(file):
    """Returns whether a BMP image has 24 or 32 bits per pixel without compression, and not the header of OS/2."""
    bits = _read_integer(file, 28, 2, True)
    has_header = _read_integer(file, 14, 4, True) >= 40
    return has_header & ((bits == 24) | (bits == 32)) & (_read_integer(file, 30, 4, True) == 0)


def count_pixels(file):
    """Returns the width times the height in the header of a GIF, PNG, WebP or BMP image, int64; 0 for another file."""

    def read(start, size, is_little=True, added=0, mask=-1):
        sides = [_read_integer(file, start + side * size, size, is_little) for side in range(2)]
        return tf.reduce_prod(tf.minimum(tf.bitwise.bitwise_and(sides, mask) + added, 2**31))

    def read_lossless_webp():
        bits = _read_integer(file, 21, 4, True)
        return (bits % 2**14 + 1) * (bits // 2**14 % 2**14 + 1)

    def read_bmp():
        sides = [_read_integer(file, start, 4, True) for start in (18, 22)]
        return sides[0] * tf.minimum(sides[1], 2**32 - sides[1])  # rows from the top have a negative height

    none = _int64(0)
    kinds = [
        (starts_with(file, PNG), lambda: read(16, 4, False)),
        (starts_with(file, b"GIF"), lambda: read(6, 2)),
        (starts_with(file, b"BM"), read_bmp),
        (is_webp(file) & starts_with(file, b"VP8X", 12), lambda: read(24, 3, added=1)),
        (is_webp(file) & starts_with(file, b"VP8L", 12), read_lossless_webp),
        (is_webp(file), lambda: read(26, 2, mask=2**14 - 1)),
    ]
    return tf.case(kinds, default=lambda: none)


def read_orientation(file):
    """Returns the EXIF orientation of an image `File` as int64 from 1 to 8; 1 if it has none."""
    no_exif = _int64(0)
    start = tf.case(
        [
            (starts_with(file, b"\xff\xd8"), lambda: _find_jpeg_exif(file)),
            (starts_with(file, PNG), lambda: _find_png_chunk(file, b"eXIf")),
            (is_webp(file) & starts_with(file, b"VP8X", 12), lambda: _find_webp_chunk(file, b"EXIF")),
        ],
        default=lambda: no_exif,
    )
    # PNG and WebP do not need the prefix of JPEG, but some programs write it.
    start = tf.where(starts_with(file, EXIF, start), start + len(EXIF), start)
    value = tf.cond(start > 0, lambda: _read_tiff_orientation(file, start), lambda: no_exif)
    return tf.where((value >= 1) & (value <= 8), value, _int64(1))


def _read_tiff_orientation(file, start):
    """Returns the orientation in the first image file directory, int64, or 0. The next directory is the thumbnail's."""
    is_little = starts_with(file, b"II", start)
    has_order = is_little | starts_with(file, b"MM", start)
    is_tiff = has_order & (_read_integer(file, start + 2, 2, is_little) == TIFF_MAGIC)
    directory = start + _read_integer(file, start + 4, 4, is_little)
    count = tf.where(is_tiff, _read_integer(file, directory, 2, is_little), _int64(0))
    entries = file.content[tf.minimum(directory + 2, file.size) :][: count * 12]
    entries = tf.cast(tf.reshape(entries[: tf.size(entries) // 12 * 12], (-1, 12)), tf.int64)

    def column(first, size):
        values = entries[:, first : first + size]
        values = tf.where(is_little, values, values[:, ::-1])
        return tf.reduce_sum(values * _int64([256**power for power in range(size)]), -1)

    kind, values = column(2, 2), tf.stack([column(8, size) for size in INTEGER_SIZES.values()], -1)
    is_kind = kind[:, None] == _int64(list(INTEGER_SIZES))
    values = tf.where(is_kind & (column(0, 2) == ORIENTATION_TAG)[:, None], values, _int64(0))
    return tf.reduce_max(tf.concat([tf.reshape(values, (-1,)), [0]], 0))


def _find_jpeg_exif(file):
    """Returns the position of the EXIF data in the segments of a JPEG image before its pixels, int64, or 0."""

    def step(position):
        is_fill = _read_integer(file, position + 1, 1, True) == 0xFF
        return position + tf.where(is_fill, _int64(1), 2 + _read_integer(file, position + 2, 2, False))

    def stops(position):
        marker = _read_integer(file, position + 1, 1, True)
        return ~starts_with(file, b"\xff", position) | (marker == 0xDA) | (marker == 0xD9)

    return _walk(file, 2, step, EXIF, 4, stops, first=b"\xff\xe1")


def _find_png_chunk(file, name):
    """Returns the position of the data of the first chunk of a name in a PNG image, int64, or 0."""
    return _walk(file, len(PNG), lambda position: position + 12 + _read_integer(file, position, 4, False), name, 4)


def _find_webp_chunk(file, name):
    """Returns the position of the data of the first chunk of a name in a WebP image, int64, or 0."""

    def step(position):
        size = _read_integer(file, position + 4, 4, True)
        return position + 8 + size + size % 2

    found = _walk(file, 12, step, name, 0)
    return tf.where(found > 0, found + 4, 0)


def _walk(file, start, step, name, name_offset, stops=None, first=b""):
    """Returns the position after a name in a segment or chunk, int64, or 0 if there is none.

    Args:
        file: a `File`.
        start: position of the first segment.
        step: function that returns the position of the segment after that at a position.
        name: bytes that follow the segment's start after `name_offset` bytes.
        stops: function that returns whether no segment begins at a position, or None.
        first: bytes with which the segment begins.
    """

    def is_found(position):
        is_named = starts_with(file, name, position + name_offset)
        return is_named & starts_with(file, first, position) if first else is_named

    def goes_on(position):
        is_segment = (position < file.size) & ~is_found(position)
        return is_segment & ~stops(position) if stops else is_segment

    def walk():
        (end,) = tf.while_loop(
            goes_on, lambda position: (step(position),), (_int64(start),), maximum_iterations=MAX_STEPS
        )
        return tf.where((end < file.size) & is_found(end), end + name_offset + len(name), _int64(0))

    # Most files do not have the name at all, which is seen sooner.
    return tf.cond(tf.size(tf.strings.split(file.data, name)) > 1, walk, lambda: _int64(0))


def _read_integer(file, position, size, is_little):
    """Returns an unsigned integer of `size` bytes in a file, int64; `is_little` is a bool or a tensor."""
    powers = [256**power for power in range(size)]
    if isinstance(is_little, bool):
        powers = _int64(powers if is_little else powers[::-1])
    else:
        powers = tf.where(is_little, _int64(powers), _int64(powers[::-1]))
    return tf.reduce_sum(tf.cast(_read(file, position, size), tf.int64) * powers)


def _read(file, position, size):
    """Returns up to `PADDING` bytes at a position of a file, uint8 (size,)."""
    if not isinstance(position, int):
        position = tf.minimum(position, file.size)
    return tf.slice(file.content, [position], [size])


def _int64(value):
    return tf.constant(value, tf.int64)
