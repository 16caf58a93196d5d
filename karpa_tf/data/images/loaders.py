"""Loading of image data sets by name or folder."""

import functools
from pathlib import Path

from karpa_tf.data.images.digits import load_digits
from karpa_tf.data.images.folder import load_folder
from karpa_tf.data.images.tfds import load_tfds
from karpa_tf.data.tfds import is_available
from karpa_tf.data.walk import require_no_model
from karpa_tf.errors import UserError, nearest

TFDS_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100", "celeb_a")

LOADERS = {"digits": load_digits} | {name: functools.partial(load_tfds, name) for name in TFDS_NAMES}
"""Functions by name of the data set. Each takes an `ImageFormat` and the name of a split, and returns an `ImageSet`, or
None if the data set does not have the split."""


def load_images(data, image_format):
    """Returns the `ImageSet` of a data set's training split, or of a folder.

    Args:
        data: a name in `LOADERS` or in TensorFlow Datasets, or the path of a folder. Names take precedence; use
            `./name` for a folder of the same name.
        image_format: an `ImageFormat`.

    Raises:
        UserError: the data set does not exist, cannot be read, or has images smaller than the image size.
    """
    loader = find_loader(data, image_format)
    return loader(image_format, "train") if loader else load_folder(data, image_format)


def find_loader(data, image_format):
    """Returns the function that loads the data set called `data`, or None if `data` is a folder.

    Raises:
        UserError: `data` is neither a data set nor a folder, or it is the folder of a model.
    """
    if data in LOADERS:
        return LOADERS[data]
    if Path(data).is_dir():
        require_no_model(data)
        return None
    if Path(data).exists():
        raise UserError(f"--data {data} is a file; expected a folder of images or one of {', '.join(LOADERS)}.")
    if is_available(data, image_format.data_dir):
        return functools.partial(load_tfds, data)
    raise UserError(
        f"--data {data}: there is no such folder or data set; expected a folder of images, {', '.join(LOADERS)}, or "
        f"another data set of TensorFlow Datasets{nearest(data, LOADERS)}"
    )
