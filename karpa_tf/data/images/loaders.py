"""Finds an image set by its name or folder."""

import functools
from pathlib import Path

from karpa_tf.data.images.digits import load_digits
from karpa_tf.data.images.folder import load_folder
from karpa_tf.data.images.tfds import load_tfds
from karpa_tf.data.tfds import is_published
from karpa_tf.errors import UserError, nearest

TFDS_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100", "celeb_a")

LOADERS = {"digits": load_digits} | {name: functools.partial(load_tfds, name) for name in TFDS_NAMES}
"""Loaders by name; each takes a `ImageFormat` and the name of a split, and returns an `ImageSet`, or None if the set
has no such split."""


def load_images(data, image_format):
    """Returns the training `ImageSet` called `data`: a name in `LOADERS` or TensorFlow Datasets, or a folder.

    Args:
        data: name or path; a name wins over a folder of that name, which `./name` reaches.
        image_format: a `ImageFormat`, the size the images are brought to and where things are kept.

    Raises:
        UserError: there is no such set, it cannot be read, or its images are smaller than the image_format's side.
    """
    loader = known_loader(data, image_format)
    return loader(image_format, "train") if loader else load_folder(data, image_format)


def known_loader(data, image_format):
    """Returns the loader of the set named `data`, or None if it is a folder; raises `UserError` if it is neither."""
    if data in LOADERS:
        return LOADERS[data]
    if Path(data).is_dir():
        return None
    if Path(data).exists():
        raise UserError(f"--data {data} is a file; expected a folder of images or one of {', '.join(LOADERS)}.")
    if is_published(data, image_format.data_dir):
        return functools.partial(load_tfds, data)
    raise UserError(
        f"--data {data}: there is no such folder, and no set of that name; the known sets are "
        f"{', '.join(LOADERS)}, and those of TensorFlow Datasets{nearest(data, LOADERS)}"
    )
