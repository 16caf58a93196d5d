"""The digits of scikit-learn and data sets of TensorFlow Datasets."""

import dataclasses
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
from karpa_tf.data import tfds as tfds_data
from karpa_tf.data.images.image_files import ImageFiles
from karpa_tf.data.images.loaders import load_images
from karpa_tf.data.images.splits import load_splits
from karpa_tf.errors import UserError

SHARED = Path(os.environ.get("KARPA_DATA", Path(__file__).parents[4] / "shared" / "data"))


def test_the_error_for_a_misspelled_name_suggests_the_nearest():
    with pytest.raises(UserError, match="did you mean mnist"):
        load_images("mnits", ImageFormat(8, 3))


def test_digits_are_complete_at_every_size():
    from sklearn.datasets import load_digits

    native = load_images("digits", ImageFormat(8, 1)).images
    np.testing.assert_allclose(native[..., 0], load_digits().images * 255 / 16, atol=0.5)
    resized = load_images("digits", ImageFormat(16, 1)).images
    assert resized.shape == (1797, 16, 16, 1)
    # The border is black, and downsampling gives nearly the original image.
    assert resized[:, 0].mean() < 1
    downsampled = np.stack(
        [np.asarray(Image.fromarray(image[..., 0]).resize((10, 10), Image.Resampling.BOX)) for image in resized]
    )
    correlations = [
        np.corrcoef(a[1:-1, 1:-1].ravel(), b.ravel())[0, 1] for a, b in zip(downsampled, native, strict=True)
    ]
    assert min(correlations) > 0.95
    with pytest.raises(UserError, match="smaller than the model's 64x64"):
        load_images("digits", ImageFormat(64, 1))


@pytest.fixture
def no_sockets(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture(scope="module")
def prepared_dir(tmp_path_factory):
    """Returns a folder with a prepared data set called tiny: 7 grayscale images of 12x12."""
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


def test_a_prepared_data_set_is_read_without_network_access(prepared_dir, no_sockets):
    images = load_images("tiny", ImageFormat(12, 1, data_dir=str(prepared_dir))).images
    assert sorted(images[:, 5, 5, 0]) == [0, 30, 60, 90, 120, 150, 180]


def test_the_files_of_a_prepared_data_set_are_kept_if_whole_images_are_of_use(prepared_dir):
    image_format = ImageFormat(8, 1, data_dir=str(prepared_dir), needs_originals=True)
    files = load_images("tiny", image_format)
    pixels = load_images("tiny", dataclasses.replace(image_format, image_cache="pixels"))
    assert isinstance(files.images, ImageFiles) and files.images.entries[:, 3:].tolist() == [[12, 12]] * 7
    np.testing.assert_array_equal(files.images[:], pixels.images)
    assert not isinstance(load_images("tiny", dataclasses.replace(image_format, image_size=12)).images, ImageFiles)
    with pytest.raises(UserError, match=r"images of tiny \(12x12\) are smaller than the model's 16x16"):
        load_images("tiny", dataclasses.replace(image_format, image_size=16))


@pytest.mark.slow
def test_a_prepared_data_set_of_jpeg_files_has_the_same_pixels_in_both_caches(tmp_path):
    import tensorflow_datasets as tfds

    exif = Image.Exif()
    exif[0x0112] = 6
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (6, 30, 20, 3), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg", exif=exif)
    files = [path.read_bytes() for path in sorted(tmp_path.glob("*.jpg"))]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="photos",
        version="1.0.0",
        data_dir=str(tmp_path / "tfds"),
        split_datasets={"train": tf.data.Dataset.from_tensor_slices({"image": files, "label": np.arange(6) % 2})},
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(encoding_format="jpeg"), "label": tfds.features.ClassLabel(num_classes=2)}
        ),
    )
    image_format = ImageFormat(16, 3, data_dir=str(tmp_path / "tfds"))
    files, pixels = (
        load_images("photos", dataclasses.replace(image_format, image_cache=kind)) for kind in ("files", "pixels")
    )
    assert files.images.entries[:, 2:].tolist() == [[6, 20, 30]] * 6  # upright
    np.testing.assert_array_equal(files.images[:], pixels.images)
    assert files.labels.tolist() == pixels.labels.tolist() and sorted(files.labels) == [0, 0, 0, 1, 1, 1]


def test_the_newest_prepared_version_is_selected(prepared_dir, tmp_path):
    shutil.copytree(prepared_dir / "tiny" / "1.2.0", tmp_path / "tiny" / "1.2.0")
    shutil.copytree(prepared_dir / "tiny" / "1.2.0", tmp_path / "tiny" / "1.10.0")
    assert tfds_data._find_prepared_folder("tiny", tmp_path).name == "1.10.0"


def test_a_data_set_with_images_smaller_than_the_model_is_refused(prepared_dir):
    with pytest.raises(UserError, match=r"images of tiny \(12x12\) are smaller than the model's 16x16"):
        load_images("tiny", ImageFormat(16, 1, data_dir=str(prepared_dir)))


def test_the_error_for_a_data_set_that_is_not_prepared_says_how_to_prepare_it(tmp_path, monkeypatch):
    def fail_to_resolve(host, port):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail_to_resolve)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    message = "fashion_mnist is not prepared.*no network.*is not found.*download_and_prepare.*copy the folder"
    with pytest.raises(UserError, match=message) as error:
        load_images("fashion_mnist", ImageFormat(28, 1, data_dir=str(tmp_path / "data")))
    assert str(tmp_path / "data" / "fashion_mnist") in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()


def test_the_error_for_a_failed_download_has_the_reason(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    class FailingBuilder:
        url_infos: ClassVar = {}

        def download_and_prepare(self):
            raise OSError("checksum of t10k-images is wrong\nand more")

    monkeypatch.setattr(tfds, "builder", lambda *args, **kwargs: FailingBuilder())
    with pytest.raises(UserError, match=r"mnist is not prepared.*\(checksum of t10k-images is wrong\)"):
        load_images("mnist", ImageFormat(28, 1, data_dir=str(tmp_path)))


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "tfds" / "mnist").is_dir(), reason="MNIST is not prepared in $KARPA_DATA/tfds")
def test_mnist_is_complete_and_has_its_own_test_split(no_sockets):
    splits = load_splits("mnist", ImageFormat(28, 1, data_dir=str(SHARED / "tfds")), 0.05)
    assert [len(split.images) for split in splits.as_dict().values()] == [57_000, 3_000, 10_000]
    assert splits.classes == tuple("0123456789")
    assert np.bincount(splits.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    total = sum(split.images[:].sum(dtype=np.int64) for split in (splits.train, splits.validation))
    assert abs(total / (60_000 * 28 * 28 * 255) - 0.1307) < 1e-4  # the mean that PyTorch tutorials normalize by
