"""Labeled sets in parts."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.data.images.splits import load_splits
from karpa_tf.data.splits import hold_out
from karpa_tf.errors import UserError

PREPARATION = ImageFormat(8, 3, small_images="enlarge")
NAMES = ("Äpfel & Birnen", "cat", "日本")


def make_folder(root, counts, size=(10, 12)):
    """Images `counts[name]` of each class, all of different colors."""
    number = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            number += 1
            Image.new("RGB", size, (number % 256, number // 256, 99)).save(root / name / f"{i}.png")
    return root


def test_a_folder_of_classes_is_split_into_shares_of_every_class(tmp_path):
    make_folder(tmp_path / "data", dict(zip(NAMES, (50, 20, 10), strict=True)))
    splits = load_splits(str(tmp_path / "data"), PREPARATION, validation_fraction=0.25, test_fraction=0.2)
    assert splits.classes == tuple(sorted(NAMES))
    counts = splits.metadata()["counts"]
    assert counts["test"] == dict(zip(NAMES, (10, 4, 2), strict=True))
    assert counts["validation"] == dict(zip(NAMES, (10, 4, 2), strict=True))
    assert counts["train"] == dict(zip(NAMES, (30, 12, 6), strict=True))
    keys = [set(part.keys) for part in splits.as_dict().values()]
    assert len(set.union(*keys)) == 80 == sum(map(len, keys))


def test_the_parts_depend_on_names_alone(tmp_path):
    make_folder(tmp_path / "data", {"a": 30, "b": 30})
    first = load_splits(str(tmp_path / "data"), PREPARATION, 0.2)
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere")
    for file in sorted((tmp_path / "elsewhere").rglob("*.png"), reverse=True):
        file.rename(file.with_suffix(".tmp")), file.with_suffix(".tmp").rename(file)
    second = load_splits(str(tmp_path / "elsewhere"), PREPARATION, 0.2)
    for one, other in zip(first.parts().values(), second.parts().values(), strict=True):
        assert one.keys == other.keys
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_labels_belong_to_their_images(tmp_path):
    folder = make_folder(tmp_path / "data", {"a": 9, "b": 9})
    splits = load_splits(str(folder), PREPARATION, 0.3)
    for part in splits.as_dict().values():
        for key, label, image in zip(part.keys, part.labels, part.images, strict=True):
            assert splits.classes[label] == Path(key).parts[0]
            assert image[0, 0].tolist() == list(Image.open(folder / key).getpixel((0, 0)))


@pytest.mark.parametrize("name", ["validation", "val", "valid"])
def test_parts_that_a_folder_has_are_taken_as_they_are(tmp_path, name):
    make_folder(tmp_path / "data" / "train", {"a": 8, "b": 8})
    make_folder(tmp_path / "data" / name, {"a": 2, "b": 3})
    make_folder(tmp_path / "data" / "test", {"b": 4})
    splits = load_splits(str(tmp_path / "data"), PREPARATION, 0.5)
    assert {key: len(part.images) for key, part in splits.as_dict().items()} == {
        "train": 16,
        "validation": 5,
        "test": 4,
    }
    assert splits.test.labels.tolist() == [1] * 4
    assert splits.warnings() == ["The test part has no image of a."]


def test_a_class_too_small_to_share_stays_in_training_and_is_named(tmp_path):
    make_folder(tmp_path / "data", {"many": 20, "one": 1})
    splits = load_splits(str(tmp_path / "data"), PREPARATION, 0.2)
    assert splits.metadata()["counts"]["train"]["one"] == 1
    assert splits.warnings() == ["The validation part has no image of one.", "The test part has no image of one."]


def test_broken_images_leave_the_labels_of_the_others_right(tmp_path):
    folder = make_folder(tmp_path / "data", {"a": 5, "b": 5})
    whole = (folder / "a" / "1.png").read_bytes()
    (folder / "a" / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "0.png").write_text("no image")
    splits = load_splits(str(folder), PREPARATION, 0, 0)
    assert splits.train.labels.tolist() == [0] * 4 + [1] * 4
    assert splits.train.keys[:2] == ("a/0.png", "a/2.png") and len(splits.train.skipped) == 2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: make_folder(root.parent, {root.name: 3}), "has no folders; expected one folder of images per"),
        (
            lambda root: (make_folder(root / "train", {"a": 3, "b": 3}), make_folder(root / "test", {"c": 1})),
            "has a class that the training images lack: c",
        ),
        (lambda root: make_folder(root / "train", {"a": 0, "b": 0}), "holds no images"),
        (lambda root: None, "there is no such folder"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_sentence(tmp_path, make, says):
    make(tmp_path / "data")
    with pytest.raises(UserError, match=says):
        load_splits(str(tmp_path / "data"), PREPARATION, 0.1)


def test_images_of_one_class_are_a_set_too(tmp_path):
    splits = load_splits(str(make_folder(tmp_path / "data", {"only": 3})), PREPARATION, 0, 0)
    assert splits.classes == ("only",) and splits.train.labels.tolist() == [0, 0, 0]


def test_digits_are_split_in_proportion():
    splits = load_splits("digits", ImageFormat(8, 1), 0.1, 0.2)
    counts = [np.bincount(part.labels) for part in splits.as_dict().values()]
    assert [len(part.images) for part in splits.as_dict().values()] == [1295, 143, 359]
    total = sum(counts)
    np.testing.assert_array_equal(counts[2], np.round(0.2 * total))
    again = load_splits("digits", ImageFormat(8, 1), 0.1, 0.2)
    np.testing.assert_array_equal(again.test.images, splits.test.images)


def test_a_set_without_labels_is_refused(monkeypatch):
    unlabeled = ImageSet("faces", np.zeros((4, 8, 8, 3), np.uint8), "0")
    monkeypatch.setattr("karpa_tf.data.images.loaders.LOADERS", {"faces": lambda image_format, split: unlabeled})
    with pytest.raises(UserError, match="--data faces has no labels"):
        load_splits("faces", PREPARATION, 0.1)


def test_balanced_weights_make_every_class_weigh_the_same():
    labels = np.array([0] * 8 + [1] * 4 + [2] * 4, np.int32)
    train = ImageSet("x", np.zeros((16, 8, 8, 3), np.uint8), "0", labels=labels, classes=("a", "b", "c"))
    weights = type(load_splits("digits", ImageFormat(8, 1), 0.1))(train, None, None).class_weights()
    sums = [weights[label] * np.sum(labels == label) for label in range(3)]
    np.testing.assert_allclose(sums, 16 / 3)


def test_what_is_held_out_of_named_images_does_not_depend_on_their_order():
    names = np.array([f"a/{number}.png" for number in range(60)])
    images, labels = np.arange(60, dtype=np.uint8)[:, None, None, None], np.arange(60, dtype=np.int32) % 2
    order = np.random.default_rng(0).permutation(60)
    held = []
    for places in (np.arange(60), order):
        data = ImageSet("x", images[places], "0", labels=labels[places], classes=("a", "b"), keys=tuple(names[places]))
        held.append(hold_out(data, 0.3, "test")[1])
    assert sorted(held[0].keys) == sorted(held[1].keys) and len(held[0].keys) == 18
    assert held[1].keys == tuple(f"a/{number}.png" for number in np.ravel(held[1].images))


def test_parts_for_different_purposes_differ():
    data = ImageSet("x", np.zeros((100, 1, 1, 1), np.uint8), "0", labels=np.zeros(100, np.int32), classes=("a",))
    held = [hold_out(data, 0.5, purpose)[1] for purpose in ("test", "validation")]
    assert len(held[0].images) == len(held[1].images) == 50
    marked = ImageSet("x", np.arange(100, dtype=np.uint8)[:, None, None, None], "0", labels=data.labels, classes=("a",))
    taken = [set(np.ravel(hold_out(marked, 0.5, purpose)[1].images)) for purpose in ("test", "validation")]
    assert taken[0] != taken[1]


def test_a_part_reads_the_images_that_are_asked_for_and_no_others():
    class Read(np.ndarray):
        """Notes how many images were read."""

        def __getitem__(self, key):
            rows = super().__getitem__(key)
            self.read = getattr(self, "read", 0) + len(rows)
            return rows

    images = np.arange(1000, dtype=np.uint16).astype(np.uint8).reshape(1000, 1, 1, 1).view(Read)
    labels = np.zeros(1000, np.int32)
    train, _ = hold_out(ImageSet("x", images, "0", labels=labels, classes=("a",)), 0.2, "test")
    part, _ = hold_out(train, 0.5, "validation")
    assert getattr(images, "read", 0) == 0 and part.images.shape == (400, 1, 1, 1)
    assert part.images[np.array([3, 1])].shape == (2, 1, 1, 1) and part.images[5:9].shape == (4, 1, 1, 1)
    assert images.read == 6
    np.testing.assert_array_equal(np.asarray(part.images)[3], part.images[3])
