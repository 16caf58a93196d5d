"""Labeled images in three parts: to learn from, to choose by, and to test on once."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from karpa_tf.data.images.folder import find_image_files, load_files
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.data.images.loaders import known_loader
from karpa_tf.data.splits import FOLDERS, hold_out
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Splits:
    """Parts of one labeled set; they share their classes and no image."""

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet | None

    @property
    def has_held_out(self):
        """Whether there is more than the training part."""
        return self.validation is not None or self.test is not None

    @property
    def classes(self):
        """Names of the classes, in the order of the labels."""
        return self.train.classes

    def as_dict(self):
        """Returns the parts that exist, by name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None and len(part.images)}

    def summary(self):
        """Returns a line on the classes, one on each part, and one for each of the first files left out."""
        names = ", ".join(self.classes[:10]) + (", ..." if len(self.classes) > 10 else "")
        lines = [f"{len(self.classes)} classes: {names}"]
        return "\n".join(lines + [f"{name:10} {part.summary()}" for name, part in self.as_dict().items()])

    def metadata(self):
        """Returns what `run.json` says of the data."""
        counts = {}
        for name, part in self.as_dict().items():
            numbers = np.bincount(part.labels, minlength=len(self.classes))
            counts[name] = dict(zip(self.classes, numbers.tolist(), strict=True))
        parts = {name: part.metadata() for name, part in self.as_dict().items()}
        return {"classes": list(self.classes), "splits": parts, "counts": counts}

    def class_weights(self):
        """Returns float32 (classes,): n / (classes n_c), so that every class has the same sum, and the mean is 1."""
        numbers = np.bincount(self.train.labels, minlength=len(self.classes))
        return (len(self.train.labels) / (len(self.classes) * np.maximum(numbers, 1))).astype(np.float32)

    def warnings(self):
        """Returns sentences on what a user may not have meant: classes of which a part has no image."""
        said = []
        for name, part in self.as_dict().items():
            missing = [self.classes[i] for i in set(range(len(self.classes))) - set(part.labels.tolist())]
            if missing:
                said.append(f"The {name} part has no image of {', '.join(sorted(missing)[:5])}.")
        return said


def load_splits(data, image_format, validation_fraction, test_fraction=0.2):
    """Returns the `Splits` of a labeled set.

    A set of TensorFlow Datasets has its own parts. So has a folder with `train/<class>/...`, and `validation/` and
    `test/` if it likes; a folder with one folder per class has none. A test part that is missing is taken from the
    training part, and a validation part from what then remains, each class in proportion. Which images are taken
    depends on their names alone (for sets without names, on their place), not on a seed or the order of a listing.

    Args:
        data: a name or folder, as for `load_images`.
        image_format: a `ImageFormat`.
        validation_fraction: share of the training images for a validation part that is missing, in [0, 1); 0 for none.
        test_fraction: the same for a test part that is missing.

    Raises:
        UserError: as for `load_images`; or there are no labels.
    """
    loader = known_loader(data, image_format)
    found = {split: loader(image_format, split) for split in FOLDERS} if loader else _load_folders(data, image_format)
    train, validation, test = (found[split] for split in FOLDERS)
    if train.labels is None:
        raise UserError(f"--data {data} has no labels to learn; expected a set with a class for every image.")
    if test is None and test_fraction:
        train, test = hold_out(train, test_fraction, "test")
    if validation is None and validation_fraction:
        train, validation = hold_out(train, validation_fraction, "validation")
    return Splits(train, validation, test)


def _load_folders(directory, image_format):
    directory = Path(directory)
    folders = {split: _folder_of(directory, names) for split, names in FOLDERS.items()}
    if folders["train"] is None:
        folders = {"train": directory, "validation": None, "test": None}
    classes = _classes(folders["train"])
    found = dict.fromkeys(FOLDERS)
    for split, folder in folders.items():
        if folder is not None:
            found[split] = _load_classes(folder, classes, image_format)
    return found


def _folder_of(directory, names):
    return next((directory / name for name in names if (directory / name).is_dir()), None)


def _classes(folder):
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise UserError(
            f"--data {folder} has no folders; expected one folder of images per class, or train/<class>/..."
        )
    return tuple(names)


def _load_classes(folder, classes, image_format):
    extra = sorted(set(_classes(folder)) - set(classes))
    if extra:
        raise UserError(f"{folder} has a class that the training images lack: {extra[0]}.")
    files, labels = [], []
    for label, name in enumerate(classes):
        images = find_image_files(folder / name) if (folder / name).is_dir() else []
        files += images
        labels += [label] * len(images)
    return load_files(folder, files, image_format, labels, classes)
