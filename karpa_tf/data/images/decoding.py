"""From image files to what models take, in TensorFlow ops: the same when a folder is read and in exported graphs."""

import tensorflow as tf

HEADER, TRAILER = 65_536, 4_096
"""Bytes at the start and at the end of a file in which its orientation is looked for; WebP has it at the end."""


def decode_square(data, side, channels):
    """Returns the largest central square of an image file as uint8 (side, side, channels).

    The camera's orientation is applied, transparency becomes white, 16-bit colors become 8-bit, of an animation the
    first frame is taken.

    Args:
        data: scalar string: a JPEG, PNG, GIF, BMP or WebP file.
        side: height and width of the result, in pixels.
        channels: 1 for gray, 3 for color.
    """
    return square(decode(data), side, channels)


def decode(data):
    """Returns an image file, a scalar string, upright and without transparency, as uint8 (height, width, 3)."""
    is_jpeg = tf.strings.substr(data, 0, 2) == b"\xff\xd8"
    return _upright(tf.cond(is_jpeg, lambda: _jpeg(data), lambda: _on_white(data)), _orientation(data))


def square(pixels, side, channels):
    """Returns the largest central square of uint8 (height, width, 1 or 3) as uint8 (side, side, channels)."""
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    short = tf.minimum(height, width)
    pixels = tf.image.crop_to_bounding_box(pixels, (height - short) // 2, (width - short) // 2, short, short)
    resized = tf.image.resize(pixels, (side, side), tf.image.ResizeMethod.LANCZOS3, antialias=True)
    # At its own size the filter would still round twice.
    resized = tf.cond(short == side, lambda: tf.cast(pixels, tf.float32), lambda: resized)
    if pixels.shape[-1] == 3 and channels == 1:
        resized = tf.image.rgb_to_grayscale(resized)
    if pixels.shape[-1] == 1 and channels == 3:
        resized = tf.image.grayscale_to_rgb(resized)
    return tf.ensure_shape(tf.saturate_cast(tf.round(resized), tf.uint8), (side, side, channels))


def normalize(pixels):
    """Returns uint8 pixels, or floats in [0, 255], of any shape as models take them: float32 in [-1, 1]."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1


def _jpeg(data):
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")


def _on_white(data):
    """Returns any other kind of image on white, uint8 (height, width, 3)."""
    is_png = tf.strings.substr(data, 0, 4) == b"\x89PNG"
    is_webp = tf.strings.substr(data + 12 * b"\0", 8, 4) == b"WEBP"  # A file may be shorter.

    def decode_image(channels):
        return tf.io.decode_image(data, channels=channels, expand_animations=False)

    def opaque():
        return tf.ensure_shape(decode_image(3), (None, None, 3))

    def transparent(pixels):
        pixels = tf.cast(tf.ensure_shape(pixels, (None, None, 4)), tf.float32)
        alpha = pixels[..., 3:] / 255
        return tf.cast(tf.round(pixels[..., :3] * alpha + 255 * (1 - alpha)), tf.uint8)

    def webp():
        pixels = decode_image(0)  # 3 or 4 channels, as the file has; asked for others TensorFlow refuses
        return transparent(tf.concat([pixels, tf.ones_like(pixels[..., :1]) * 255], -1)[..., :4])

    def png():
        # To an opaque image of fewer than 8 bits TensorFlow 2.21 adds an alpha of 1, 3 or 15 in place of 255.
        return tf.cond(_png_has_alpha(data), lambda: transparent(decode_image(4)), opaque)

    return tf.cond(is_png, png, lambda: tf.cond(is_webp, webp, opaque))


def _png_has_alpha(data):
    """Returns whether a PNG has an alpha channel (color types 4 and 6), or transparent colors (the chunk tRNS)."""
    start = tf.io.decode_raw(tf.strings.substr(data, 0, HEADER), tf.uint8)
    start = tf.pad(start, [[0, 26]])
    return (start[25] == 4) | (start[25] == 6) | tf.reduce_any(_places(start, b"tRNS"))


def _upright(pixels, orientation):
    """Turns an image as its EXIF orientation, 1 to 8, says (EXIF 2.32, tag 274)."""
    # 5 to 8 are the first four mirrored at the main diagonal.
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    pixels = tf.cond(mirrored, lambda: pixels[:, ::-1], lambda: pixels)
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    return tf.cond(upside_down, lambda: pixels[::-1], lambda: pixels)


def _orientation(data):
    """Returns the EXIF orientation of an image file, int32, or 1 if it states none.

    The entry has twelve bytes: tag 0x0112, type 3 (short), count 1, then the value; they are looked for in both byte
    orders.
    """
    size = tf.strings.length(data)
    trailer = tf.strings.substr(data, tf.maximum(size - TRAILER, tf.minimum(HEADER, size)), TRAILER)
    ends = tf.io.decode_raw(tf.strings.substr(data, 0, HEADER) + trailer, tf.uint8)
    ends = tf.pad(ends, [[0, 10]])
    little = _after(ends, b"\x12\x01\x03\x00\x01\x00\x00\x00", 0)
    big = _after(ends, b"\x01\x12\x00\x03\x00\x00\x00\x01", 1)
    value = tf.maximum(little, big)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _after(content, pattern, offset):
    """Returns the byte, int32, that follows `pattern` and `offset` more bytes in uint8 (n,), or 0."""
    places = _places(content, pattern)
    values = content[len(pattern) + offset :]
    size = tf.minimum(tf.size(places), tf.size(values))
    return tf.reduce_max(tf.where(places[:size], tf.cast(values[:size], tf.int32), 0))


def _places(content, pattern):
    """Returns where in uint8 (n,) the bytes of `pattern` begin, bool (n - len(pattern),)."""
    size = tf.size(content) - len(pattern)
    found = tf.ones((size,), tf.bool)
    for offset, byte in enumerate(pattern):
        found &= content[offset : offset + size] == byte
    return found
