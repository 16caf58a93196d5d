"""Decoding of image files in TensorFlow ops, for data sets and for exported graphs."""

import tensorflow as tf

# The EXIF orientation is searched for in this many bytes at the start and at the end of a file (the end for WebP).
HEADER_BYTES, TRAILER_BYTES = 65_536, 4_096


def decode_square(data, image_size, channels):
    """Returns the largest central square of an image file, uint8 (image_size, image_size, channels).

    Applies the EXIF orientation, composites transparent images on white, converts 16-bit images to 8 bits, and decodes
    only the first frame of an animation.

    Args:
        data: scalar string, content of a JPEG, PNG, GIF, BMP or WebP file.
        image_size: height and width to resize to, in pixels.
        channels: 1 for grayscale, 3 for RGB.
    """
    return center_crop_and_resize(decode_image(data), image_size, channels)


def decode_image(data):
    """Returns an image file, a scalar string, as uint8 (height, width, 3), upright and composited on white."""
    is_jpeg = tf.strings.substr(data, 0, 2) == b"\xff\xd8"
    pixels = tf.cond(is_jpeg, lambda: _decode_jpeg(data), lambda: _decode_on_white(data))
    return _apply_orientation(pixels, _read_orientation(data))


def center_crop_and_resize(pixels, image_size, channels):
    """Returns the largest central square of an image, uint8 (image_size, image_size, channels).

    Args:
        pixels: uint8 (height, width, 1 or 3).
        image_size: height and width to resize to, in pixels (Lanczos).
        channels: 1 for grayscale, 3 for RGB.
    """
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    size = tf.minimum(height, width)
    pixels = tf.image.crop_to_bounding_box(pixels, (height - size) // 2, (width - size) // 2, size, size)
    resized = tf.image.resize(pixels, (image_size, image_size), tf.image.ResizeMethod.LANCZOS3, antialias=True)
    # Resizing to the same size is not exact.
    resized = tf.cond(size == image_size, lambda: tf.cast(pixels, tf.float32), lambda: resized)
    if pixels.shape[-1] == 3 and channels == 1:
        resized = tf.image.rgb_to_grayscale(resized)
    if pixels.shape[-1] == 1 and channels == 3:
        resized = tf.image.grayscale_to_rgb(resized)
    return tf.ensure_shape(tf.saturate_cast(tf.round(resized), tf.uint8), (image_size, image_size, channels))


def normalize(pixels):
    """Maps pixels, uint8 or float in [0, 255], of any shape, to float32 in [-1, 1]."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1


def _decode_jpeg(data):
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")


def _decode_on_white(data):
    """Returns an image file other than JPEG composited on white, uint8 (height, width, 3)."""
    is_png = tf.strings.substr(data, 0, 4) == b"\x89PNG"
    is_webp = tf.strings.substr(data + 12 * b"\0", 8, 4) == b"WEBP"  # padded: `substr` fails beyond the end

    def decode(channels):
        return tf.io.decode_image(data, channels=channels, expand_animations=False)

    def decode_opaque():
        return tf.ensure_shape(decode(3), (None, None, 3))

    def composite(pixels):
        pixels = tf.cast(tf.ensure_shape(pixels, (None, None, 4)), tf.float32)
        alpha = pixels[..., 3:] / 255
        return tf.cast(tf.round(pixels[..., :3] * alpha + 255 * (1 - alpha)), tf.uint8)

    def decode_webp():
        pixels = decode(0)  # 3 or 4 channels, as in the file; TensorFlow does not convert WebP images
        return composite(tf.concat([pixels, tf.ones_like(pixels[..., :1]) * 255], -1)[..., :4])

    def decode_png():
        # TensorFlow 2.21 decodes opaque images of less than 8 bits with an alpha of 1, 3 or 15 instead of 255.
        return tf.cond(_has_png_alpha(data), lambda: composite(decode(4)), decode_opaque)

    return tf.cond(is_png, decode_png, lambda: tf.cond(is_webp, decode_webp, decode_opaque))


def _has_png_alpha(data):
    """Returns whether a PNG file has an alpha channel (color types 4 and 6) or transparent colors (chunk tRNS)."""
    header = tf.io.decode_raw(tf.strings.substr(data, 0, HEADER_BYTES), tf.uint8)
    header = tf.pad(header, [[0, 26]])
    return (header[25] == 4) | (header[25] == 6) | tf.reduce_any(_match(header, b"tRNS"))


def _apply_orientation(pixels, orientation):
    """Returns the upright image of an EXIF orientation, 1 to 8 (EXIF 2.32, tag 274)."""
    # 5 to 8 are 1 to 4 transposed.
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    flip_horizontally = tf.reduce_any(orientation == [2, 3, 6, 7])
    pixels = tf.cond(flip_horizontally, lambda: pixels[:, ::-1], lambda: pixels)
    flip_vertically = tf.reduce_any(orientation == [3, 4, 7, 8])
    return tf.cond(flip_vertically, lambda: pixels[::-1], lambda: pixels)


def _read_orientation(data):
    """Returns the EXIF orientation of an image file, int32, or 1 if it has none.

    The EXIF entry consists of the tag 0x0112, the type 3 (short), the count 1 and the value, 12 bytes in total. It is
    searched for in both byte orders.
    """
    size = tf.strings.length(data)
    trailer_start = tf.maximum(size - TRAILER_BYTES, tf.minimum(HEADER_BYTES, size))
    ends = tf.strings.substr(data, 0, HEADER_BYTES) + tf.strings.substr(data, trailer_start, TRAILER_BYTES)
    ends = tf.pad(tf.io.decode_raw(ends, tf.uint8), [[0, 10]])
    little_endian = _read_byte_after(ends, b"\x12\x01\x03\x00\x01\x00\x00\x00", 0)
    big_endian = _read_byte_after(ends, b"\x01\x12\x00\x03\x00\x00\x00\x01", 1)
    value = tf.maximum(little_endian, big_endian)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _read_byte_after(content, pattern, offset):
    """Returns the byte `offset` bytes after the end of `pattern` in uint8 (n,), as int32; 0 if there is no match."""
    matches = _match(content, pattern)
    values = content[len(pattern) + offset :]
    size = tf.minimum(tf.size(matches), tf.size(values))
    return tf.reduce_max(tf.where(matches[:size], tf.cast(values[:size], tf.int32), 0))


def _match(content, pattern):
    """Returns whether `pattern` starts at each position of uint8 (n,), bool (n - len(pattern),)."""
    size = tf.size(content) - len(pattern)
    matches = tf.ones((size,), tf.bool)
    for offset, byte in enumerate(pattern):
        matches &= content[offset : offset + size] == byte
    return matches
