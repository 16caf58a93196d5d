"""Image sets of TensorFlow Datasets."""

from karpa_tf.data.cache import fingerprint
from karpa_tf.data.images.cache import cached_images
from karpa_tf.data.images.decoding import square
from karpa_tf.data.tfds import identity, open_set
from karpa_tf.errors import UserError
from karpa_tf.system.console import track


def load_tfds(name, preparation, split="train"):
    """Returns the `ImageSet` of a set's split, or None if it has none of that name; downloads and prepares at need.

    Args:
        name: of the set, in TensorFlow Datasets.
        preparation: a `Preparation`.
        split: "train", "validation" or "test".

    Raises:
        UserError: the set is not prepared and cannot be downloaded, has no pictures, or they are smaller than the
            preparation's side.
    """
    import tensorflow_datasets as tfds

    builder, directory = open_set(name, preparation.data_dir)
    features = builder.info.features or {}
    if "train" not in builder.info.splits or "image" not in features:
        raise UserError(f"{name} in {directory} has no training split with pictures.")
    if split not in builder.info.splits:
        return None
    has_labels = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    classes = features["label"].names if has_labels else ()
    key = fingerprint(name, split, *identity(directory), preparation.side, preparation.channels)
    return cached_images(name, key, preparation, lambda: _rows(name, builder, split, preparation, classes), classes)


def _rows(name, builder, split, preparation, classes):
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(split=split, shuffle_files=False)
    count = builder.info.splits[split].num_examples
    shape = (preparation.side, preparation.side, preparation.channels)
    for example in track(tfds.as_numpy(examples), f"Reading {name} ({split})", total=count):
        pixels = example["image"]
        side = min(pixels.shape[:2])
        if side < preparation.side and preparation.small_images != "enlarge":
            raise preparation.too_small(f"The pictures of {name} ({pixels.shape[1]}x{pixels.shape[0]}) are", side)
        if pixels.shape != shape:
            pixels = square(pixels, preparation.side, preparation.channels).numpy()
        yield pixels, int(example["label"]) if classes else -1, None
