"""Image sets of TensorFlow Datasets."""

from karpa_tf.data.cache import fingerprint
from karpa_tf.data.images.cache import load_cached_images
from karpa_tf.data.images.decoding import square
from karpa_tf.data.tfds import identity, open_set
from karpa_tf.errors import UserError
from karpa_tf.system.console import track


def load_tfds(name, image_format, split="train"):
    """Returns the `ImageSet` of a set's split, or None if it has none of that name; downloads and prepares at need.

    Args:
        name: of the set, in TensorFlow Datasets.
        image_format: a `ImageFormat`.
        split: "train", "validation" or "test".

    Raises:
        UserError: the set is not prepared and cannot be downloaded, has no images, or they are smaller than the
            image_format's side.
    """
    import tensorflow_datasets as tfds

    builder, directory = open_set(name, image_format.data_dir)
    features = builder.info.features or {}
    if "train" not in builder.info.splits or "image" not in features:
        raise UserError(f"{name} in {directory} has no training split with images.")
    if split not in builder.info.splits:
        return None
    has_labels = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    classes = features["label"].names if has_labels else ()
    key = fingerprint(name, split, *identity(directory), image_format.side, image_format.channels)
    return load_cached_images(
        name, key, image_format, lambda: _rows(name, builder, split, image_format, classes), classes
    )


def _rows(name, builder, split, image_format, classes):
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(split=split, shuffle_files=False)
    count = builder.info.splits[split].num_examples
    shape = (image_format.side, image_format.side, image_format.channels)
    for example in track(tfds.as_numpy(examples), f"Reading {name} ({split})", total=count):
        pixels = example["image"]
        side = min(pixels.shape[:2])
        if side < image_format.side and image_format.small_images != "enlarge":
            raise image_format.too_small(f"The images of {name} ({pixels.shape[1]}x{pixels.shape[0]}) are", side)
        if pixels.shape != shape:
            pixels = square(pixels, image_format.side, image_format.channels).numpy()
        yield pixels, int(example["label"]) if classes else -1, None
