"""Folders of images, bundled digits and prepared sets."""

import os
import shutil
import socket
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images import folder as image_folder
from karpa_tf.data.images.loaders import load_images
from karpa_tf.data.images.splits import load_splits
from karpa_tf.errors import UserError

SHARED = Path(os.environ.get("KARPA_DATA", Path(__file__).parents[4] / "shared" / "data"))


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


def test_the_center_is_taken_and_the_sides_are_cut_off(tmp_path):
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels.swapaxes(0, 1)).save(tmp_path / "high.png")
    images = load_images(str(tmp_path), ImageFormat(10, 3)).images
    assert images[:, 1:-1, 1:-1].min() >= 250 and images.min() > 200  # resizing lets a little of the outside in


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "color", "gray"),
    [
        ("L", 200, 200),
        ("1", 1, 255),
        ("LA", (200, 255), 200),
        ("RGB", (200, 200, 200), 200),
        ("RGBA", (9, 9, 9, 0), 255),  # transparent: white paper shines through
        ("CMYK", (55, 55, 55, 0), 200),
        ("I;16", 200 * 257, 200),
        ("P", 0, 0),
    ],
)
def test_every_mode_becomes_the_grey_it_shows(tmp_path, mode, color, gray, channels):
    file = tmp_path / ("one.jpg" if mode == "CMYK" else "one.png")
    Image.new(mode, (12, 9), color).save(file)
    pixels = image_folder.read_square(file, 4, channels)
    assert pixels.shape == (4, 4, channels) and pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, gray, atol=1)


def test_a_image_taken_on_its_side_stands_upright(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # the upper half is white as stored; orientation 3 says: turn by 180 degrees
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    image = load_images(str(tmp_path), ImageFormat(16, 1)).images[0, ..., 0]
    assert image[:7].max() == 0 and image[9:].min() == 255


def test_unreadable_files_are_named_counted_and_left_out(tmp_path):
    write_image(tmp_path / "good.png")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("not an image")
    whole = write_image(tmp_path / "whole.jpg", (64, 64)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    image_set = load_images(str(tmp_path), ImageFormat(8, 3))
    assert len(image_set.images) == 2
    assert [Path(reason.split(":")[0]).name for reason in image_set.skipped] == ["cut.jpg", "empty.jpg", "text.png"]
    assert "2 images of" in image_set.summary() and "3 could not be used" in image_set.summary()


def test_links_are_followed_but_not_in_circles_and_a_broken_one_is_named(tmp_path):
    write_image(tmp_path / "elsewhere" / "a.png")
    folder = tmp_path / "images"
    write_image(folder / "b.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(folder)
    (folder / "nowhere.png").symlink_to(tmp_path / "missing.png")
    image_set = load_images(str(folder), ImageFormat(8, 3))
    assert len(image_set.images) == 2
    assert len(image_set.skipped) == 1 and "nowhere.png" in image_set.skipped[0]


def test_a_second_start_decodes_nothing(tmp_path, monkeypatch):
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "b.png").write_text("broken")
    first = load_images(str(tmp_path / "images"), ImageFormat(8, 3))
    monkeypatch.setattr(image_folder, "try_square", None)
    second = load_images(str(tmp_path / "images"), ImageFormat(8, 3))
    np.testing.assert_array_equal(first.images, second.images)
    assert (first.skipped, first.fingerprint) == (second.skipped, second.fingerprint)


def test_a_changed_image_another_side_or_other_channels_are_decoded_anew(tmp_path):
    def load(*image_format):
        return load_images(str(tmp_path / "images"), ImageFormat(*image_format))

    file = write_image(tmp_path / "images" / "a.png")
    first = load(8, 3)
    assert load(4, 3).images.shape[1] == 4 and load(8, 1).images.shape[3] == 1
    write_image(file, (20, 16), color=(0, 0, 255))
    os.utime(file, ns=(1, 1))
    second = load(8, 3)
    assert first.fingerprint != second.fingerprint and second.images[0, 0, 0].tolist() == [0, 0, 255]


def test_nothing_is_left_in_the_cache_when_decoding_is_interrupted(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    write_image(tmp_path / "images" / "a.png")
    monkeypatch.setattr(image_folder, "try_square", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_images(str(tmp_path / "images"), ImageFormat(8, 3))
    assert list((tmp_path / "cache").iterdir()) == []


def test_images_smaller_than_the_model_are_refused_with_what_would_fit(tmp_path):
    write_image(tmp_path / "large.png", (64, 64))
    write_image(tmp_path / "small.png", (100, 10))
    with pytest.raises(UserError, match=r"1 of 2 images .*small\.png, has 10 pixels.*what fits: side of 10"):
        load_images(str(tmp_path), ImageFormat(32, 3, advice="side of {}".format))
    image_set = load_images(str(tmp_path), ImageFormat(32, 3, small_images="skip"))
    assert len(image_set.images) == 1 and "10 pixels on the shorter side are too few" in image_set.skipped[0]


@pytest.mark.parametrize(
    ("small_images", "sides", "headers", "whole"),
    [("refuse", (40, 50, 60), 3, 3), ("skip", (40, 10, 60), 3, 2), ("enlarge", (40, 10, 60), 0, 3)],
)
def test_a_file_is_opened_no_more_often_than_needed(tmp_path, monkeypatch, small_images, sides, headers, whole):
    for side in sides:
        write_image(tmp_path / "images" / f"{side}.png", (side, side))
    opened, read = [], []
    open_header, read_bytes = Image.open, Path.read_bytes
    monkeypatch.setattr(image_folder.Image, "open", lambda file: opened.append(file) or open_header(file))
    monkeypatch.setattr(Path, "read_bytes", lambda file: read.append(file) or read_bytes(file))
    image_set = load_images(str(tmp_path / "images"), ImageFormat(32, 3, small_images=small_images))
    assert len(image_set.images) == whole
    assert (len(opened), sum(file.suffix == ".png" for file in read)) == (headers, whole)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "no such folder"),
        (lambda folder: folder.mkdir(), "holds no images"),
        (lambda folder: (folder.mkdir(), (folder / "a.txt").touch()), "holds no images"),
        (lambda folder: (folder.mkdir(), (folder / "a.png").touch()), "None of the 1 images"),
        (lambda folder: folder.touch(), "is a file"),
    ],
)
def test_a_folder_without_images_is_refused_by_name(tmp_path, make, says):
    folder = tmp_path / "images"
    make(folder)
    with pytest.raises(UserError, match=says) as caught:
        load_images(str(folder), ImageFormat(8, 3))
    assert str(folder) in str(caught.value)


def test_a_mistyped_set_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean mnist"):
        load_images("mnits", ImageFormat(8, 3))


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--cache-dir"):
        load_images(str(tmp_path / "images"), ImageFormat(8, 3, cache_dir=str(tmp_path / "file" / "cache")))


def test_digits_are_all_there_at_every_side():
    from sklearn.datasets import load_digits

    native = load_images("digits", ImageFormat(8, 1)).images
    np.testing.assert_allclose(native[..., 0], load_digits().images * 255 / 16, atol=0.5)
    scaled = load_images("digits", ImageFormat(16, 1)).images
    assert scaled.shape == (1797, 16, 16, 1)
    # The border is black, and every image is recognizably the original: shrunk again it is nearly the same.
    assert scaled[:, 0].mean() < 1
    shrunk = np.stack(
        [np.asarray(Image.fromarray(image[..., 0]).resize((10, 10), Image.Resampling.BOX)) for image in scaled]
    )
    correlation = [np.corrcoef(a[1:-1, 1:-1].ravel(), b.ravel())[0, 1] for a, b in zip(shrunk, native, strict=True)]
    assert min(correlation) > 0.95
    with pytest.raises(UserError, match="smaller than the model's 64x64"):
        load_images("digits", ImageFormat(64, 1))


@pytest.fixture
def no_sockets(monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a set called tiny, prepared as TensorFlow Datasets does: 7 gray images of 12x12."""
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("tfds")
    images = np.stack([np.full((12, 12, 1), 30 * label, np.uint8) for label in range(7)])
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.2.0",
        data_dir=str(root),
        split_datasets={"train": tf.data.Dataset.from_tensor_slices({"image": images})},
        features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(12, 12, 1))}),
    )
    return root


def test_a_prepared_set_is_read_without_a_socket(prepared, no_sockets):
    images = load_images("tiny", ImageFormat(12, 1, data_dir=str(prepared))).images
    assert sorted(images[:, 5, 5, 0]) == [0, 30, 60, 90, 120, 150, 180]


def test_the_newest_prepared_version_is_taken(prepared, tmp_path):
    shutil.copytree(prepared / "tiny" / "1.2.0", tmp_path / "tiny" / "1.2.0")
    shutil.copytree(prepared / "tiny" / "1.2.0", tmp_path / "tiny" / "1.10.0")
    from karpa_tf.data import tfds as tfds_sets

    assert tfds_sets._prepared_folder("tiny", tmp_path).name == "1.10.0"


def test_a_set_smaller_than_the_model_is_refused(prepared):
    with pytest.raises(UserError, match=r"images of tiny \(12x12\) are smaller than the model's 16x16"):
        load_images("tiny", ImageFormat(16, 1, data_dir=str(prepared)))


def test_a_set_that_is_not_prepared_says_at_once_how_to_bring_it(tmp_path, monkeypatch):
    def unknown_host(host, port):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown_host)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    says = "fashion_mnist is not prepared.*no network.*is not found.*download_and_prepare.*bring the folder"
    with pytest.raises(UserError, match=says) as caught:
        load_images("fashion_mnist", ImageFormat(28, 1, data_dir=str(tmp_path / "data")))
    assert str(tmp_path / "data" / "fashion_mnist") in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_download_that_fails_says_why(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    class Failing:
        url_infos: ClassVar = {}

        def download_and_prepare(self):
            raise OSError("checksum of t10k-images is wrong\nand more")

    monkeypatch.setattr(tfds, "builder", lambda *args, **kwargs: Failing())
    with pytest.raises(UserError, match=r"mnist is not prepared.*\(checksum of t10k-images is wrong\)"):
        load_images("mnist", ImageFormat(28, 1, data_dir=str(tmp_path)))


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "tfds" / "mnist").is_dir(), reason="MNIST is not prepared beside this checkout")
def test_mnist_is_read_whole_with_its_own_test_part(no_sockets):
    splits = load_splits("mnist", ImageFormat(28, 1, data_dir=str(SHARED / "tfds")), 0.05)
    assert [len(part.images) for part in splits.as_dict().values()] == [57_000, 3_000, 10_000]
    assert splits.classes == tuple("0123456789")
    assert np.bincount(splits.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    sums = sum(part.images[:].sum(dtype=np.int64) for part in (splits.train, splits.validation))
    assert abs(sums / (60_000 * 28 * 28 * 255) - 0.1307) < 1e-4  # the mean that every tutorial normalizes by
