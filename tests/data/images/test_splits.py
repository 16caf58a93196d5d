"""Splits of labeled image data sets."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.data.images.splits import Splits, load_splits
from karpa_tf.data.splits import hold_out
from karpa_tf.errors import UserError

IMAGE_FORMAT = ImageFormat(8, 3, small_images="enlarge")
NAMES = ("Äpfel & Birnen", "cat", "日本")


def make_folder(root, counts, size=(10, 12)):
    """Writes `counts[name]` images of each class, all of different colors, and returns `root`."""
    color = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            color += 1
            Image.new("RGB", size, (color % 256, color // 256, 99)).save(root / name / f"{i}.png")
    return root


def test_a_folder_of_classes_is_split_by_class(tmp_path):
    make_folder(tmp_path / "data", dict(zip(NAMES, (50, 20, 10), strict=True)))
    splits = load_splits(str(tmp_path / "data"), IMAGE_FORMAT, validation_fraction=0.25, test_fraction=0.2)
    assert splits.classes == tuple(sorted(NAMES))
    counts = splits.metadata()["counts"]
    assert counts["test"] == dict(zip(NAMES, (10, 4, 2), strict=True))
    assert counts["validation"] == dict(zip(NAMES, (10, 4, 2), strict=True))
    assert counts["train"] == dict(zip(NAMES, (30, 12, 6), strict=True))
    names = [set(split.names) for split in splits.as_dict().values()]
    assert len(set.union(*names)) == 80 == sum(map(len, names))


def test_splits_depend_only_on_the_names_of_the_images(tmp_path):
    make_folder(tmp_path / "data", {"a": 30, "b": 30})
    first = load_splits(str(tmp_path / "data"), IMAGE_FORMAT, 0.2)
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere")
    for file in sorted((tmp_path / "elsewhere").rglob("*.png"), reverse=True):
        file.rename(file.with_suffix(".tmp")), file.with_suffix(".tmp").rename(file)
    second = load_splits(str(tmp_path / "elsewhere"), IMAGE_FORMAT, 0.2)
    for one, other in zip(first.as_dict().values(), second.as_dict().values(), strict=True):
        assert one.names == other.names
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_labels_match_their_images(tmp_path):
    folder = make_folder(tmp_path / "data", {"a": 9, "b": 9})
    splits = load_splits(str(folder), IMAGE_FORMAT, 0.3)
    for split in splits.as_dict().values():
        for name, label, image in zip(split.names, split.labels, split.images, strict=True):
            assert splits.classes[label] == Path(name).parts[0]
            assert image[0, 0].tolist() == list(Image.open(folder / name).getpixel((0, 0)))


@pytest.mark.parametrize("name", ["validation", "val", "valid"])
def test_splits_of_a_folder_are_used_unchanged(tmp_path, name):
    make_folder(tmp_path / "data" / "train", {"a": 8, "b": 8})
    make_folder(tmp_path / "data" / name, {"a": 2, "b": 3})
    make_folder(tmp_path / "data" / "test", {"b": 4})
    splits = load_splits(str(tmp_path / "data"), IMAGE_FORMAT, 0.5)
    sizes = {name: len(split.images) for name, split in splits.as_dict().items()}
    assert sizes == {"train": 16, "validation": 5, "test": 4}
    assert splits.test.labels.tolist() == [1] * 4
    assert splits.warnings() == ["The test split has no images of a."]


def test_a_class_with_a_single_image_stays_in_the_training_split_and_gives_a_warning(tmp_path):
    make_folder(tmp_path / "data", {"many": 20, "one": 1})
    splits = load_splits(str(tmp_path / "data"), IMAGE_FORMAT, 0.2)
    assert splits.metadata()["counts"]["train"]["one"] == 1
    assert splits.warnings() == ["The validation split has no images of one.", "The test split has no images of one."]


def test_labels_are_correct_when_unreadable_images_are_skipped(tmp_path):
    folder = make_folder(tmp_path / "data", {"a": 5, "b": 5})
    data = (folder / "a" / "1.png").read_bytes()
    (folder / "a" / "1.png").write_bytes(data[: len(data) // 2])
    (folder / "b" / "0.png").write_text("no image")
    splits = load_splits(str(folder), IMAGE_FORMAT, 0, 0)
    assert splits.train.labels.tolist() == [0] * 4 + [1] * 4
    assert splits.train.names[:2] == ("a/0.png", "a/2.png") and len(splits.train.skipped) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: make_folder(root.parent, {root.name: 3}), "has no subfolders; expected one folder of images per"),
        (
            lambda root: (make_folder(root / "train", {"a": 3, "b": 3}), make_folder(root / "test", {"c": 1})),
            "has a class that the training images do not have: c",
        ),
        (lambda root: make_folder(root / "train", {"a": 0, "b": 0}), "has no images"),
        (lambda root: None, "there is no such folder"),
    ],
)
def test_invalid_folders_are_refused(tmp_path, make, message):
    make(tmp_path / "data")
    with pytest.raises(UserError, match=message):
        load_splits(str(tmp_path / "data"), IMAGE_FORMAT, 0.1)


def test_a_data_set_may_have_only_one_class(tmp_path):
    splits = load_splits(str(make_folder(tmp_path / "data", {"only": 3})), IMAGE_FORMAT, 0, 0)
    assert splits.classes == ("only",) and splits.train.labels.tolist() == [0, 0, 0]


def test_digits_are_split_by_class():
    splits = load_splits("digits", ImageFormat(8, 1), 0.1, 0.2)
    counts = [np.bincount(split.labels) for split in splits.as_dict().values()]
    assert [len(split.images) for split in splits.as_dict().values()] == [1295, 143, 359]
    total = sum(counts)
    np.testing.assert_array_equal(counts[2], np.round(0.2 * total))
    repeated = load_splits("digits", ImageFormat(8, 1), 0.1, 0.2)
    np.testing.assert_array_equal(repeated.test.images, splits.test.images)


def test_a_data_set_without_labels_is_refused(monkeypatch):
    unlabeled = ImageSet("faces", np.zeros((4, 8, 8, 3), np.uint8), "0")
    monkeypatch.setattr("karpa_tf.data.images.loaders.LOADERS", {"faces": lambda image_format, split: unlabeled})
    with pytest.raises(UserError, match="--data faces has no labels"):
        load_splits("faces", IMAGE_FORMAT, 0.1)


def test_balanced_class_weights_give_every_class_the_same_total_weight():
    labels = np.array([0] * 8 + [1] * 4 + [2] * 4, np.int32)
    train = ImageSet("x", np.zeros((16, 8, 8, 3), np.uint8), "0", labels=labels, classes=("a", "b", "c"))
    weights = Splits(train, None, None).class_weights()
    totals = [weights[label] * np.sum(labels == label) for label in range(3)]
    np.testing.assert_allclose(totals, 16 / 3)


def test_holding_out_named_images_does_not_depend_on_their_order():
    all_names = np.array([f"a/{number}.png" for number in range(60)])
    images, labels = np.arange(60, dtype=np.uint8)[:, None, None, None], np.arange(60, dtype=np.int32) % 2
    order = np.random.default_rng(0).permutation(60)
    held_out = []
    for indices in (np.arange(60), order):
        names = tuple(all_names[indices])
        data = ImageSet("x", images[indices], "0", labels=labels[indices], classes=("a", "b"), names=names)
        held_out.append(hold_out(data, 0.3, "test")[1])
    assert sorted(held_out[0].names) == sorted(held_out[1].names) and len(held_out[0].names) == 18
    assert held_out[1].names == tuple(f"a/{number}.png" for number in np.ravel(held_out[1].images))


def test_different_salts_hold_out_different_images():
    images = np.arange(100, dtype=np.uint8)[:, None, None, None]
    data = ImageSet("x", images, "0", labels=np.zeros(100, np.int32), classes=("a",))
    held_out = [hold_out(data, 0.5, salt)[1] for salt in ("test", "validation")]
    assert len(held_out[0].images) == len(held_out[1].images) == 50
    assert set(np.ravel(held_out[0].images)) != set(np.ravel(held_out[1].images))


def test_a_split_reads_only_the_images_that_are_accessed():
    class CountingArray(np.ndarray):
        """Counts the images that are read."""

        def __getitem__(self, key):
            rows = super().__getitem__(key)
            self.reads = getattr(self, "reads", 0) + len(rows)
            return rows

    images = np.arange(1000, dtype=np.uint16).astype(np.uint8).reshape(1000, 1, 1, 1).view(CountingArray)
    labels = np.zeros(1000, np.int32)
    train, _ = hold_out(ImageSet("x", images, "0", labels=labels, classes=("a",)), 0.2, "test")
    subset, _ = hold_out(train, 0.5, "validation")
    assert getattr(images, "reads", 0) == 0 and subset.images.shape == (400, 1, 1, 1)
    assert subset.images[np.array([3, 1])].shape == (2, 1, 1, 1) and subset.images[5:9].shape == (4, 1, 1, 1)
    assert images.reads == 6
    np.testing.assert_array_equal(np.asarray(subset.images)[3], subset.images[3])


def test_the_name_of_a_class_that_is_not_utf8_becomes_text_that_can_be_encoded(tmp_path):
    for name in (b"caf\xe9", b"tea"):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        for number in range(4):
            Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
    splits = load_splits(str(tmp_path), ImageFormat(8, 3), 0)
    assert splits.classes == (r"caf\xe9", "tea") and len(splits.train.images) + len(splits.test.images) == 8
