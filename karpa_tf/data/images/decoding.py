"""Decoding of image files in TensorFlow ops, for data sets and for exported graphs."""

import tensorflow as tf

from karpa_tf.data.images import containers

MAX_PIXELS = 2**27
"""Maximum number of pixels of an image; a few bytes can claim to be billions."""

DCT_METHOD = "INTEGER_ACCURATE"

JPEG = b"\xff\xd8"
"""The first bytes of a JPEG file."""

MARGIN = 2
"""Pixels beside a part of a JPEG image without which its last row and column differ from those of the whole image:
the smoothing of colors that have half the resolution needs one of their neighbors."""

CONVERT = "cannot be decoded here; convert it to PNG"
TOO_LARGE = f"an image of more than {MAX_PIXELS // 10**6} million pixels cannot be decoded"


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


def decode_squares(files, image_size, channels):
    """Returns `decode_square` of every file of a string tensor (n,), uint8 (n, image_size, image_size, channels)."""
    spec = tf.TensorSpec((image_size, image_size, channels), tf.uint8)
    return tf.map_fn(lambda file: decode_square(file, image_size, channels), files, fn_output_signature=spec)


def decode_image(data):
    """Returns an image file, a scalar string, as uint8 (height, width, 3), upright and composited on white.

    Raises:
        tf.errors.InvalidArgumentError: the file is damaged, or of a kind that TensorFlow does not decode correctly: an
            animated WebP image, a BMP image with a palette or compression, or an image of more than `MAX_PIXELS`.
    """
    return decode_with_orientation(data)[0]


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decode_with_orientation(data):
    """Returns `decode_image(data)`, and the EXIF orientation that it had in the file, int64 from 1 to 8."""
    file = containers.make_file(data)
    is_jpeg = containers.starts_with(file, JPEG)
    # Before a decoder allocates memory for them; that of JPEG has such a limit itself.
    with tf.control_dependencies([_refuse(containers.count_pixels(file) > MAX_PIXELS, TOO_LARGE)]):
        pixels = tf.cond(is_jpeg, lambda: _decode_jpeg(data), lambda: _decode_on_white(file))
    orientation = containers.read_orientation(file)
    return _apply_orientation(pixels, orientation), orientation


def center_crop_and_resize(pixels, image_size, channels):
    """Returns the largest central square of an image, uint8 (image_size, image_size, channels).

    Args:
        pixels: uint8 (height, width, 1 or 3).
        image_size: height and width to resize to, in pixels (Lanczos).
        channels: 1 for grayscale, 3 for RGB.
    """
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    size = tf.minimum(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    pixels = pixels[top : top + size, left : left + size]
    resized = tf.image.resize(pixels, (image_size, image_size), tf.image.ResizeMethod.LANCZOS3, antialias=True)
    # Resizing to the same size is not exact.
    resized = tf.cond(size == image_size, lambda: tf.cast(pixels, tf.float32), lambda: resized)
    return _to_uint8(resized, image_size, channels)


def decode_part(data, orientation, height, width, box):
    """Returns a part of an upright image, uint8 (rows, columns, 3), equal to that of the whole image, decoded.

    Its ops have no state, so that `tf.map_fn` runs them in parallel.

    Args:
        data: scalar string, content of a `PreparedFile`.
        orientation: int64 scalar, its EXIF orientation.
        height: int64 scalar, of the upright image.
        width: int64 scalar, of the upright image.
        box: int64 (4,): top, left, rows and columns of the part.
    """
    top, left, rows, columns = tf.unstack(box)
    flips_rows, flips_columns, transposes = _find_flips(orientation)
    top = tf.where(flips_rows, height - top - rows, top)
    left = tf.where(flips_columns, width - left - columns, left)

    def swap(first, second):
        return tf.where(transposes, second, first), tf.where(transposes, first, second)

    (top, left), (rows, columns), (height, width) = swap(top, left), swap(rows, columns), swap(height, width)

    def decode_jpeg():
        first_row, first_column = tf.maximum(top - MARGIN, 0), tf.maximum(left - MARGIN, 0)
        last_row, last_column = tf.minimum(top + rows + MARGIN, height), tf.minimum(left + columns + MARGIN, width)
        window = tf.stack([first_row, first_column, last_row - first_row, last_column - first_column])
        pixels = tf.io.decode_and_crop_jpeg(data, tf.cast(window, tf.int32), channels=3, dct_method=DCT_METHOD)
        return pixels[top - first_row :, left - first_column :][:rows, :columns]

    def decode_png():
        return tf.io.decode_png(data, channels=3)[top : top + rows, left : left + columns]

    is_jpeg = tf.strings.substr(data, 0, len(JPEG)) == JPEG
    return _apply_orientation(tf.cond(is_jpeg, decode_jpeg, decode_png), orientation)


def resize_part(pixels, image_size, channels):
    """Returns a part of an image, uint8 (rows, columns, 3), resized (bilinear) to (image_size, image_size, channels).

    The filter is as wide as a pixel of the result if that is smaller.
    """

    def resize(antialias):
        return tf.image.resize(pixels, (image_size, image_size), antialias=antialias)

    # If nothing shrinks, the filter for that gives the same in twice the time.
    shrinks = tf.reduce_max(tf.shape(pixels)[:2]) > image_size
    return _to_uint8(tf.cond(shrinks, lambda: resize(True), lambda: resize(False)), image_size, channels)


def _to_uint8(pixels, image_size, channels):
    """Returns an image, float32 (image_size, image_size, 1 or 3), rounded to uint8, in gray or RGB."""
    pixels = tf.ensure_shape(pixels, (image_size, image_size, pixels.shape[-1]))
    if pixels.shape[-1] == 3 and channels == 1:
        pixels = tf.image.rgb_to_grayscale(pixels)
    if pixels.shape[-1] == 1 and channels == 3:
        pixels = tf.image.grayscale_to_rgb(pixels)
    return tf.saturate_cast(tf.round(pixels), tf.uint8)


def normalize(pixels):
    """Maps pixels, uint8 or float in [0, 255], of any shape, to float32 in [-1, 1]."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1


def _decode_jpeg(data):
    return tf.io.decode_jpeg(data, channels=3, dct_method=DCT_METHOD)


def _decode_on_white(file):
    """Returns an image file other than JPEG composited on white, uint8 (height, width, 3)."""

    def decode(channels):
        return tf.io.decode_image(file.data, channels=channels, expand_animations=False)

    def decode_opaque():
        return tf.ensure_shape(decode(3), (None, None, 3))

    def composite(pixels):
        pixels = tf.cast(tf.ensure_shape(pixels, (None, None, 4)), tf.float32)
        alpha = pixels[..., 3:] / 255
        return tf.cast(tf.round(pixels[..., :3] * alpha + 255 * (1 - alpha)), tf.uint8)

    def decode_webp():
        # TensorFlow 2.21 writes beyond its memory when it decodes animated WebP images.
        with tf.control_dependencies([_refuse(containers.is_animated_webp(file), f"an animated WebP image {CONVERT}")]):
            pixels = decode(0)  # 3 or 4 channels, as in the file; TensorFlow does not convert WebP images
        return composite(tf.concat([pixels, tf.ones_like(pixels[..., :1]) * 255], -1)[..., :4])

    def decode_png():
        # TensorFlow 2.21 decodes opaque images of less than 8 bits with an alpha of 1, 3 or 15 instead of 255.
        return tf.cond(containers.has_png_alpha(file), lambda: composite(decode(4)), decode_opaque)

    def decode_bmp():
        # TensorFlow 2.21 returns the indices of a palette as gray levels, and ignores compression.
        is_plain = containers.is_plain_bmp(file)
        with tf.control_dependencies([_refuse(~is_plain, f"a BMP image with a palette or compression {CONVERT}")]):
            return decode_opaque()

    kinds = [
        (containers.starts_with(file, containers.PNG), decode_png),
        (containers.is_webp(file), decode_webp),
        (containers.starts_with(file, b"BM"), decode_bmp),
    ]
    return tf.case(kinds, default=decode_opaque)


def _refuse(condition, message):
    return tf.debugging.Assert(~condition, [message])


def _apply_orientation(pixels, orientation):
    """Returns the upright image of an EXIF orientation, 1 to 8 (EXIF 2.32, tag 274)."""
    flips_rows, flips_columns, transposes = _find_flips(orientation)
    pixels = tf.cond(transposes, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    pixels = tf.cond(flips_columns, lambda: pixels[:, ::-1], lambda: pixels)
    return tf.cond(flips_rows, lambda: pixels[::-1], lambda: pixels)


def _find_flips(orientation):
    """Returns whether the upright image has rows and columns in reverse order, and whether it is transposed before."""
    # 5 to 8 are 1 to 4 transposed.
    return tf.reduce_any(orientation == [3, 4, 7, 8]), tf.reduce_any(orientation == [2, 3, 6, 7]), orientation >= 5
