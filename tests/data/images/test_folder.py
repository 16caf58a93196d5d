"""Folders of image files."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images import folder as image_folder
from karpa_tf.data.images.loaders import load_images
from karpa_tf.errors import UserError


def write_image(path, size=(20, 16), mode="RGB", color=None, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color or (255 if mode in ("L", "I;16") else (255, 0, 0))).save(path, **kwargs)
    return path


@pytest.mark.parametrize("suffix", image_folder.SUFFIXES)
def test_every_format_in_a_nested_folder_is_read(tmp_path, suffix):
    write_image(tmp_path / "images" / "a" / "b" / f"one{suffix.upper()}")
    write_image(tmp_path / "images" / f"two{suffix}")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    image_set = load_images(str(tmp_path / "images"), ImageFormat(8, 3))
    assert image_set.images.shape == (2, 8, 8, 3) and image_set.images.dtype == np.uint8
    assert np.abs(image_set.images.astype(int) - [255, 0, 0]).max() <= 3  # JPEG rounds colors
    assert image_set.skipped == ()


def test_images_are_cropped_to_the_central_square(tmp_path):
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.swapaxes(0, 1)).save(tmp_path / "tall.png")
    images = load_images(str(tmp_path), ImageFormat(10, 3)).images
    assert images[:, 1:-1, 1:-1].min() >= 250 and images.min() > 200  # the Lanczos filter blurs the edge


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "color", "gray"),
    [
        ("L", 200, 200),
        ("1", 1, 255),
        ("LA", (200, 255), 200),
        ("RGB", (200, 200, 200), 200),
        ("RGBA", (9, 9, 9, 0), 255),  # transparent, composited on white
        ("CMYK", (55, 55, 55, 0), 200),
        ("I;16", 200 * 257, 200),
        ("P", 0, 0),
    ],
)
def test_every_color_mode_is_converted_to_gray_and_rgb(tmp_path, mode, color, gray, channels):
    file = tmp_path / ("one.jpg" if mode == "CMYK" else "one.png")
    Image.new(mode, (12, 9), color).save(file)
    pixels = image_folder.read_square(file, 4, channels)
    assert pixels.shape == (4, 4, channels) and pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, gray, atol=1)


def test_the_exif_orientation_is_applied(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # The upper half is white before the rotation by 180 degrees of orientation 3.
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "rotated.png", exif=exif)
    image = load_images(str(tmp_path), ImageFormat(16, 1)).images[0, ..., 0]
    assert image[:7].max() == 0 and image[9:].min() == 255


def test_unreadable_files_are_skipped_counted_and_listed(tmp_path):
    write_image(tmp_path / "good.png")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("not an image")
    data = write_image(tmp_path / "complete.jpg", (64, 64)).read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(data[: len(data) * 2 // 3])
    image_set = load_images(str(tmp_path), ImageFormat(8, 3))
    assert len(image_set.images) == 2
    assert [Path(reason.split(":")[0]).name for reason in image_set.skipped] == [
        "empty.jpg",
        "text.png",
        "truncated.jpg",
    ]
    assert "2 images of" in image_set.summary() and "3 could not be used" in image_set.summary()


def test_links_are_followed_except_for_cycles_and_broken_ones_are_listed(tmp_path):
    write_image(tmp_path / "elsewhere" / "a.png")
    folder = tmp_path / "images"
    write_image(folder / "b.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "cycle").symlink_to(folder)
    (folder / "broken.png").symlink_to(tmp_path / "missing.png")
    image_set = load_images(str(folder), ImageFormat(8, 3))
    assert len(image_set.images) == 2
    assert len(image_set.skipped) == 1 and "broken.png" in image_set.skipped[0]


def test_cached_images_are_not_decoded_again(tmp_path, monkeypatch):
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "b.png").write_text("broken")
    first = load_images(str(tmp_path / "images"), ImageFormat(8, 3))
    monkeypatch.setattr(image_folder, "try_read_square", None)
    second = load_images(str(tmp_path / "images"), ImageFormat(8, 3))
    np.testing.assert_array_equal(first.images, second.images)
    assert (first.skipped, first.fingerprint) == (second.skipped, second.fingerprint)


def test_a_changed_image_a_different_size_or_different_channels_are_decoded_again(tmp_path):
    def load(*image_format):
        return load_images(str(tmp_path / "images"), ImageFormat(*image_format))

    file = write_image(tmp_path / "images" / "a.png")
    first = load(8, 3)
    assert load(4, 3).images.shape[1] == 4 and load(8, 1).images.shape[3] == 1
    write_image(file, (20, 16), color=(0, 0, 255))
    os.utime(file, ns=(1, 1))
    second = load(8, 3)
    assert first.fingerprint != second.fingerprint and second.images[0, 0, 0].tolist() == [0, 0, 255]


def test_interrupted_decoding_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    write_image(tmp_path / "images" / "a.png")
    monkeypatch.setattr(image_folder, "try_read_square", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_images(str(tmp_path / "images"), ImageFormat(8, 3))
    assert list((tmp_path / "cache").iterdir()) == []


def test_images_smaller_than_the_model_are_refused_with_a_suggestion(tmp_path):
    write_image(tmp_path / "large.png", (64, 64))
    write_image(tmp_path / "small.png", (100, 10))
    with pytest.raises(UserError, match=r"1 of 2 images .*small\.png, has 10 pixels.*what fits: size of 10"):
        load_images(str(tmp_path), ImageFormat(32, 3, suggest_flags="size of {}".format))
    image_set = load_images(str(tmp_path), ImageFormat(32, 3, small_images="skip"))
    assert len(image_set.images) == 1 and "the shorter side of 10 pixels is too small" in image_set.skipped[0]


@pytest.mark.parametrize(
    ("small_images", "sizes", "headers", "files"),
    [("refuse", (40, 50, 60), 3, 3), ("skip", (40, 10, 60), 3, 2), ("enlarge", (40, 10, 60), 0, 3)],
)
def test_files_are_not_opened_more_often_than_necessary(tmp_path, monkeypatch, small_images, sizes, headers, files):
    for size in sizes:
        write_image(tmp_path / "images" / f"{size}.png", (size, size))
    opened, read = [], []
    open_header, read_bytes = Image.open, Path.read_bytes
    monkeypatch.setattr(image_folder.Image, "open", lambda file: opened.append(file) or open_header(file))
    monkeypatch.setattr(Path, "read_bytes", lambda file: read.append(file) or read_bytes(file))
    image_set = load_images(str(tmp_path / "images"), ImageFormat(32, 3, small_images=small_images))
    assert len(image_set.images) == files
    assert (len(opened), sum(file.suffix == ".png" for file in read)) == (headers, files)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "no such folder"),
        (lambda folder: folder.mkdir(), "has no images"),
        (lambda folder: (folder.mkdir(), (folder / "a.txt").touch()), "has no images"),
        (lambda folder: (folder.mkdir(), (folder / "a.png").touch()), "None of the 1 images"),
        (lambda folder: folder.touch(), "is a file"),
    ],
)
def test_the_error_for_a_folder_without_images_names_the_folder(tmp_path, make, message):
    folder = tmp_path / "images"
    make(folder)
    with pytest.raises(UserError, match=message) as error:
        load_images(str(folder), ImageFormat(8, 3))
    assert str(folder) in str(error.value)


def test_the_error_for_a_cache_that_cannot_be_written_names_the_flag(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--cache-dir"):
        load_images(str(tmp_path / "images"), ImageFormat(8, 3, cache_dir=str(tmp_path / "file" / "cache")))


def test_the_fingerprint_is_that_of_the_images_wherever_they_are(tmp_path):
    write_image(tmp_path / "one" / "a.png")
    write_image(tmp_path / "one" / "b.png", color=(0, 255, 0))
    first = load_images(str(tmp_path / "one"), ImageFormat(8, 3))
    (tmp_path / "one").rename(tmp_path / "two")
    os.utime(tmp_path / "two" / "a.png", (1, 1))
    again = load_images(str(tmp_path / "two"), ImageFormat(8, 3))
    write_image(tmp_path / "two" / "a.png", color=(0, 0, 255))
    changed = load_images(str(tmp_path / "two"), ImageFormat(8, 3))
    assert first.fingerprint == again.fingerprint != changed.fingerprint


def test_without_a_home_folder_the_flag_of_the_cache_is_named(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png")
    monkeypatch.delenv("KARPA_CACHE")
    monkeypatch.setattr("posixpath.expanduser", lambda path: path)
    with pytest.raises(UserError, match="There is no home folder for the cache; set --cache-dir"):
        load_images(str(tmp_path), ImageFormat(8, 3))


def test_a_file_name_that_is_not_utf8_is_read_and_listed(tmp_path):
    write_image(tmp_path / os.fsdecode(b"caf\xe9.png"))
    (tmp_path / os.fsdecode(b"\xe9.png")).write_text("no image")
    image_set = load_images(str(tmp_path), ImageFormat(8, 3))
    assert image_set.names == (r"caf\xe9.png",)
    assert len(image_set.skipped) == 1
