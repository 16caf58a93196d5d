"""What image files say about themselves, compared with Pillow, over files from a generator."""

import io
import struct

import image_mutations
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from karpa_tf.data.images import containers
from karpa_tf.data.images.decoding import decode_image
from karpa_tf.data.images.folder import read_square

ORIENTATION = 0x0112


def encode(pixels, kind, **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def make_noise(rng, size):
    return rng.integers(0, 256, (size, size, 3), np.uint8)


def make_entry(order, tag, kind, value):
    """Returns an entry of a directory: a short (3) or a long (4)."""
    packed = struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
    return struct.pack(f"{order}HHI", tag, kind, 1) + packed


def make_exif(rng):
    """Returns random EXIF data: two directories with or without an orientation, gaps, other tags, a thumbnail."""
    order = rng.choice(["<", ">"])
    directories = []
    for _ in range(2):
        entries = [make_entry(order, tag, 4, int(rng.integers(2**31))) for tag in rng.integers(0x0100, 0x0110, 3)]
        if rng.random() < 0.7:
            entries.append(make_entry(order, ORIENTATION, int(rng.choice([3, 4])), int(rng.integers(0, 11))))
        entries.append(make_entry(order, 0x0131, 4, ORIENTATION << 16 | 3))  # a value that looks like the tag
        directories.append(struct.pack(f"{order}H", len(entries)) + b"".join(entries))
    first = 8 + 2 * int(rng.integers(0, 20))
    second = first + len(directories[0]) + 4
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, first)
    parts = [header.ljust(first, b"\1"), directories[0], struct.pack(f"{order}I", second), directories[1], bytes(4)]
    thumbnail = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"  # an orientation of 6 among other bytes
    return b"".join(parts) + thumbnail


@pytest.fixture(scope="module")
def read_orientation():
    read = tf.function(
        lambda data: containers.read_orientation(containers.make_file(data)),
        input_signature=[tf.TensorSpec((), tf.string)],
    )
    return lambda data: int(read(tf.constant(data)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_that_of_pillow_for_100_random_exif_blocks(read_orientation, kind):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(100):
        size = int(rng.choice([8, 64]))
        comment = {"comment": rng.bytes(300)} if kind == "JPEG" and rng.random() < 0.5 else {}
        data = encode(make_noise(rng, size), kind, exif=b"Exif\0\0" + make_exif(rng), **comment)
        expected = Image.open(io.BytesIO(data)).getexif().get(ORIENTATION, 1)
        found.append(read_orientation(data))
        assert found[-1] == (expected if 1 <= expected <= 8 else 1)
    assert len(set(found)) > 5


def test_the_orientation_is_found_behind_the_pixels_of_a_large_file(read_orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    noise = make_noise(np.random.default_rng(0), 300)
    webp = encode(noise, "WEBP", lossless=True, exif=exif)
    png = encode(noise, "PNG", exif=exif)
    start = png.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(png[start : start + 4], "big")
    late_png = png[:start] + png[end:-12] + png[start:end] + png[-12:]
    assert min(len(webp), len(late_png)) > 200_000
    assert read_orientation(webp) == read_orientation(late_png) == 6


@pytest.mark.parametrize("pattern", [b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", b"eXIfMM\0*"])
def test_bytes_that_look_like_exif_are_no_orientation_in_comments_or_pixels(read_orientation, pattern):
    pixels = np.frombuffer(pattern.ljust(48, b"\0") * 16, np.uint8).reshape(16, 16, 3)
    bmp, jpeg = encode(pixels, "BMP"), encode(pixels, "JPEG", comment=pattern) + pattern
    comment = PngInfo()
    comment.add_text("comment", pattern.decode("latin-1"))
    png = encode(pixels, "PNG", pnginfo=comment)
    for data in (jpeg, png):
        assert pattern in data and read_orientation(data) == 1
    assert read_orientation(bmp) == 1


@pytest.mark.parametrize(("fill_bytes", "orientation"), [(0, 6), (100, 6), (containers.MAX_STEPS + 1, 1)])
def test_a_search_ends_after_a_limited_number_of_steps(read_orientation, fill_bytes, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    jpeg = encode(np.zeros((8, 8, 3), np.uint8), "JPEG", exif=exif)
    start = jpeg.index(b"\xff\xe1")
    assert read_orientation(jpeg[:start] + b"\xff" * fill_bytes + jpeg[start:]) == orientation


@pytest.mark.parametrize("header", [b"\xff\xd8", containers.PNG, b"RIFF\xff\xff\xff\xffWEBPVP8X"])
def test_random_and_endless_segments_end_the_search(read_orientation, header):
    rng = np.random.default_rng(0)
    names = b"Exif\0\0 eXIf EXIF tRNS"
    for body in (b"\xff" * 40_000, bytes(40_000), *(rng.bytes(int(n)) for n in rng.integers(0, 60, 50))):
        assert 1 <= read_orientation(header + body + names) <= 8
        assert 1 <= read_orientation(header + names + body) <= 8


@pytest.mark.parametrize("lossless", [True, False])
def test_an_animated_webp_image_is_refused_in_a_graph_and_its_first_frame_read_from_a_file(tmp_path, lossless):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "lime", "blue")]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=lossless)
    with pytest.raises(tf.errors.InvalidArgumentError, match="an animated WebP image cannot be decoded here"):
        decode_image(tf.constant(data))
    (tmp_path / "one.webp").write_bytes(data)
    assert np.abs(read_square(tmp_path / "one.webp", 16, 3).astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize(("mode", "colors"), [("P", 2), ("P", 16), ("P", 256), ("L", 256), ("1", 2)])
def test_a_bmp_image_with_a_palette_is_refused_in_a_graph_and_read_from_a_file(tmp_path, mode, colors):
    pixels = Image.fromarray(make_noise(np.random.default_rng(0), 16))
    image = pixels.quantize(colors) if mode == "P" else pixels.convert(mode)
    image.save(tmp_path / "one.bmp")
    with pytest.raises(tf.errors.InvalidArgumentError, match="a BMP image with a palette"):
        decode_image(tf.constant((tmp_path / "one.bmp").read_bytes()))
    expected = np.asarray(Image.open(tmp_path / "one.bmp").convert("RGB"))
    np.testing.assert_array_equal(read_square(tmp_path / "one.bmp", 16, 3), expected)


def test_bmp_images_of_24_and_32_bits_are_plain_unless_compressed_or_of_os2():
    def is_plain(size, bits, compression):
        header = struct.pack("<IiiHHIIiiII", size, 4, 4, 1, bits, compression, 48, 0, 0, 0, 0)
        return bool(containers.is_plain_bmp(containers.make_file(tf.constant(b"BM" + bytes(12) + header))))

    assert is_plain(40, 24, 0) and is_plain(124, 32, 0)
    assert not any([is_plain(12, 24, 0), is_plain(40, 8, 0), is_plain(40, 24, 1), is_plain(40, 32, 3)])


def test_the_size_in_the_header_is_that_of_pillow_for_all_kinds_of_images():
    count = tf.function(
        lambda data: containers.count_pixels(containers.make_file(data)), input_signature=[tf.TensorSpec((), tf.string)]
    )
    for suffix, data in image_mutations.make_samples():
        width, height = Image.open(io.BytesIO(data)).size
        assert int(count(tf.constant(data))) == (0 if suffix == ".jpeg" else width * height), suffix
    upside_down = bytearray(encode(np.zeros((4, 6, 3), np.uint8), "BMP"))
    upside_down[22:26] = struct.pack("<i", -4)
    assert int(count(tf.constant(bytes(upside_down)))) == 24


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp", ".webp"])
def test_a_small_file_that_claims_to_be_huge_is_refused_before_it_is_decoded(suffix):
    data = next(data for kind, data in image_mutations.make_samples() if kind == suffix)
    order, start = image_mutations.find_size(suffix, data)
    if suffix == ".webp":  # without a header of its own for the size: 14 bits for each side
        data = data[:start] + b"\xff" * 4 + data[start + 4 :]
    else:
        sides = struct.pack(order, 60_000, 60_000)
        data = data[:start] + sides + data[start + len(sides) :]
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 134 million pixels cannot be decoded"):
        decode_image(tf.constant(data))
