"""Decoding of image files in TensorFlow ops, compared with Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from karpa_tf.data.images.decoding import center_crop_and_resize, decode_image, decode_square


def encode(image, kind, **kwargs):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **kwargs)
    return buffer.getvalue()


def make_gradient(width=24, height=16):
    """Returns a smooth image, uint8 (height, width, 3), that differs along both axes and in every channel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([10 * rows, 9 * columns, 5 * rows + 4 * columns], -1).astype(np.uint8)


@pytest.mark.parametrize(("kind", "tolerance"), [("PNG", 0), ("BMP", 0), ("WEBP", 0), ("JPEG", 1)])
def test_pixels_match_pillow(kind, tolerance):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(Image.fromarray(make_gradient()), kind, **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode_image(tf.constant(data)).numpy() - expected).max() <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_as_in_pillow(kind, orientation):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    data = encode(Image.fromarray(make_gradient()), kind, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")).astype(int)
    pixels = decode_image(tf.constant(data)).numpy()
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("order", [b"II*\x00\x08\x00\x00\x00", b"MM\x00*\x00\x00\x00\x08"])
def test_the_exif_orientation_is_read_in_both_byte_orders(order):
    little = order[:1] == b"I"
    entry = [(1, 2), (0x0112, 2), (3, 2), (1, 4), (6, 2), (0, 2), (0, 4)]  # one entry: tag, type, count, value
    exif = order + b"".join(number.to_bytes(size, "little" if little else "big") for number, size in entry)
    data = encode(Image.fromarray(make_gradient()), "JPEG", exif=b"Exif\x00\x00" + exif)
    assert decode_image(tf.constant(data)).shape == (24, 16, 3)


def test_a_transparent_image_is_composited_on_white():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, 51  # a fifth of (200, 0, 0) and four fifths of white
    for kind in ("PNG", "WEBP"):
        data = encode(Image.fromarray(pixels), kind, **({"lossless": True} if kind == "WEBP" else {}))
        np.testing.assert_array_equal(decode_image(tf.constant(data)).numpy()[0, 0], [244, 204, 204])


@pytest.mark.parametrize("transparency", [None, 1])
@pytest.mark.parametrize("colors", [2, 4, 16, 256])
def test_a_palette_of_any_bit_depth_is_decoded_with_and_without_transparency(colors, transparency):
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % min(colors, 16), "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 3 * colors).tolist())
    options = {} if transparency is None else {"transparency": transparency}
    data = encode(image, "PNG", bits={2: 1, 4: 2, 16: 4, 256: 8}[colors], **options)
    rgba = Image.open(io.BytesIO(data)).convert("RGBA")
    expected = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    np.testing.assert_array_equal(decode_image(tf.constant(data)), np.asarray(expected))


def test_an_image_of_the_right_size_is_not_changed():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    np.testing.assert_array_equal(center_crop_and_resize(pixels, 9, 3), pixels)


def test_downsampling_a_smooth_image_is_close_to_pillow():
    pixels = make_gradient(48, 48) // 2
    expected = Image.fromarray(pixels).resize((12, 12), Image.Resampling.LANCZOS)
    assert np.abs(center_crop_and_resize(pixels, 12, 3).numpy().astype(int) - np.asarray(expected)).max() <= 2


def test_a_truncated_image_is_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_square(tf.constant(encode(Image.fromarray(make_gradient()), "PNG")[:60]), 8, 3)


@pytest.mark.parametrize("data", [b"", b"a", b"no image", 20 * b"no image"])
def test_other_data_is_an_error_with_a_clear_message(data):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format|Input is empty"):
        decode_image(tf.constant(data))


def test_decoding_works_in_a_graph_for_any_number_of_images():
    data = [encode(Image.fromarray(make_gradient(w, h)), "PNG") for w, h in ((24, 16), (7, 30), (8, 8))]
    spec = tf.TensorSpec((8, 8, 1), tf.uint8)
    decode_batch = tf.function(lambda d: tf.map_fn(lambda file: decode_square(file, 8, 1), d, fn_output_signature=spec))
    for file, image in zip(data, decode_batch(tf.constant(data)), strict=True):
        np.testing.assert_array_equal(decode_square(tf.constant(file), 8, 1), image)
