"""Image data sets of TensorFlow Datasets."""

from karpa_tf.data.cache import compute_fingerprint
from karpa_tf.data.images.cache import load_cached_images
from karpa_tf.data.images.decoding import center_crop_and_resize
from karpa_tf.data.tfds import load_builder, read_identity
from karpa_tf.errors import UserError
from karpa_tf.system.console import track


def load_tfds(name, image_format, split="train"):
    """Returns the `ImageSet` of a split, or None if the data set does not have it; downloads if necessary.

    Args:
        name: name of the data set in TensorFlow Datasets.
        image_format: an `ImageFormat`.
        split: "train", "validation" or "test".

    Raises:
        UserError: the data set is not prepared and cannot be downloaded; has no images; or has images smaller than the
            image size, unless `small_images` is "enlarge".
    """
    import tensorflow_datasets as tfds

    builder, directory = load_builder(name, image_format.data_dir)
    features = builder.info.features or {}
    if "train" not in builder.info.splits or "image" not in features:
        raise UserError(f"{name} in {directory} has no training split with images.")
    if split not in builder.info.splits:
        return None
    has_labels = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    classes = features["label"].names if has_labels else ()
    fingerprint = compute_fingerprint(
        name, split, *read_identity(directory), image_format.image_size, image_format.channels
    )
    return load_cached_images(
        name, fingerprint, image_format, lambda: _decode_all(name, builder, split, image_format, classes), classes
    )


def _decode_all(name, builder, split, image_format, classes):
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(split=split, shuffle_files=False)
    count = builder.info.splits[split].num_examples
    shape = (image_format.image_size, image_format.image_size, image_format.channels)
    for example in track(tfds.as_numpy(examples), f"Reading {name} ({split})", total=count):
        pixels = example["image"]
        size = min(pixels.shape[:2])
        if size < image_format.image_size and image_format.small_images != "enlarge":
            raise image_format.too_small(f"The images of {name} ({pixels.shape[1]}x{pixels.shape[0]}) are", size)
        if pixels.shape != shape:
            pixels = center_crop_and_resize(pixels, image_format.image_size, image_format.channels).numpy()
        yield pixels, int(example["label"]) if classes else -1, None
