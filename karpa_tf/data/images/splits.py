"""Training, validation and test splits of labeled images."""

import dataclasses
from pathlib import Path

import numpy as np

from karpa_tf.data.images.files import SUFFIXES
from karpa_tf.data.images.folder import load_files
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.data.images.loaders import find_loader, load_images
from karpa_tf.data.splits import SPLIT_FOLDERS, hold_out
from karpa_tf.data.walk import FolderWalk, to_text
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Splits:
    """Disjoint splits of a labeled data set, with the same classes."""

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet | None

    @property
    def has_held_out(self):
        """Whether there is a validation or a test split."""
        return self.validation is not None or self.test is not None

    @property
    def classes(self):
        """Names of the classes, in the order of the labels."""
        return self.train.classes

    def as_dict(self):
        """Returns the splits that exist and are not empty, by name."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None and len(split.images)}

    def summary(self):
        """Returns a line with the classes, and the summary of each split."""
        names = ", ".join(self.classes[:10]) + (", ..." if len(self.classes) > 10 else "")
        lines = [f"{len(self.classes)} classes: {names}"]
        return "\n".join(lines + [f"{name:10} {split.summary()}" for name, split in self.as_dict().items()])

    def metadata(self):
        """Returns a dict for `run.json`."""
        counts = {}
        for name, split in self.as_dict().items():
            class_counts = np.bincount(split.labels, minlength=len(self.classes))
            counts[name] = dict(zip(self.classes, class_counts.tolist(), strict=True))
        splits = {name: split.metadata() for name, split in self.as_dict().items()}
        return {"classes": list(self.classes), "splits": splits, "counts": counts}

    def class_weights(self):
        """Returns the balanced class weights, float32 (classes,): n / (classes * n_c) for n_c examples of class c."""
        counts = np.bincount(self.train.labels, minlength=len(self.classes))
        return (len(self.train.labels) / (len(self.classes) * np.maximum(counts, 1))).astype(np.float32)

    def warnings(self):
        """Returns a message for each split in which a class has no images."""
        messages = []
        for name, split in self.as_dict().items():
            missing = [self.classes[i] for i in set(range(len(self.classes))) - set(split.labels.tolist())]
            if missing:
                messages.append(f"The {name} split has no images of {', '.join(sorted(missing)[:5])}.")
        return messages


def load_splits(data, image_format, validation_fraction, test_fraction=0.2):
    """Returns the `Splits` of a labeled data set.

    Splits come from TensorFlow Datasets, or from the subfolders `train/<class>/...` and, optionally, `validation/` and
    `test/`; a folder with one subfolder per class has no splits of its own. A missing test split is held out from the
    training split, then a missing validation split from the remaining images, both stratified by class. Which images
    are held out depends only on their names (on their indices, if they have none).

    Args:
        data: a name or folder, as in `load_images`.
        image_format: an `ImageFormat`.
        validation_fraction: fraction of the training images to hold out if there is no validation split, in [0, 1);
            0 for none.
        test_fraction: the same for the test split.

    Raises:
        UserError: as in `load_images`; or the images have no labels.
    """
    loader = find_loader(data, image_format)
    if loader:
        splits = {split: loader(image_format, split) for split in SPLIT_FOLDERS}
    else:
        splits = _load_folders(data, image_format)
    train, validation, test = (splits[split] for split in SPLIT_FOLDERS)
    if train.labels is None:
        raise UserError(f"--data {data} has no labels; expected a data set with a class for every image.")
    if test is None and test_fraction:
        train, test = hold_out(train, test_fraction, "test")
    if validation is None and validation_fraction:
        train, validation = hold_out(train, validation_fraction, "validation")
    return Splits(train, validation, test)


def load_unlabeled_splits(data, image_format, validation_fraction, test_fraction):
    """Returns the `Splits` of a data set for training without labels, which it may have.

    With labels these are the splits of `load_splits`. Without, all images are for training, except for those held out
    for validation, and `classes` is empty.

    Args:
        data: a name or folder, as in `load_images`; a folder whose images are all in several subfolders has labels.
        image_format: an `ImageFormat`.
        validation_fraction: as for `load_splits`.
        test_fraction: as for `load_splits`.

    Raises:
        UserError: as in `load_images`.
    """
    loader = find_loader(data, image_format)
    if _has_classes(data) if loader is None else loader(image_format, "train").labels is not None:
        return load_splits(data, image_format, validation_fraction, test_fraction)
    images = load_images(data, image_format)
    train = dataclasses.replace(images, labels=np.zeros(len(images.images), np.int32), classes=())
    return Splits(*(hold_out(train, validation_fraction, "validation") if validation_fraction else (train, None)), None)


def _has_classes(directory):
    images_above = any(file.suffix.lower() in SUFFIXES for file in Path(directory).iterdir() if file.is_file())
    return not images_above and len(FolderWalk().find_folders(directory)) > 1


def _load_folders(directory, image_format):
    directory = Path(directory)
    folders = {split: _find_folder(directory, names) for split, names in SPLIT_FOLDERS.items()}
    if folders["train"] is None:
        folders = {"train": directory, "validation": None, "test": None}
    walk = FolderWalk(SUFFIXES)
    classes = _find_classes(folders["train"], walk)
    splits = dict.fromkeys(SPLIT_FOLDERS)
    for split, folder in folders.items():
        if folder is not None:
            splits[split] = _load_classes(folder, classes, image_format, walk)
    walk.warn(directory)
    return splits


def _find_folder(directory, names):
    return next((directory / name for name in names if (directory / name).is_dir()), None)


def _find_classes(folder, walk):
    names = walk.find_folders(folder)
    if not names:
        raise UserError(
            f"--data {folder} has no subfolders; expected one folder of images per class, or train/<class>/..."
        )
    return tuple(names)


def _load_classes(folder, classes, image_format, walk):
    extra = sorted(set(FolderWalk().find_folders(folder)) - set(classes))
    if extra:
        raise UserError(f"{folder} has a class that the training images do not have: {extra[0]}.")
    files, labels = [], []
    for label, name in enumerate(classes):
        class_files = walk.find_files(folder / name) if (folder / name).is_dir() else []
        files += class_files
        labels += [label] * len(class_files)
    return load_files(folder, files, image_format, labels, tuple(map(to_text, classes)))
