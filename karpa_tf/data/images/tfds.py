"""Image data sets of TensorFlow Datasets."""

import functools

import numpy as np
import tensorflow as tf

from karpa_tf.data.cache import compute_fingerprint
from karpa_tf.data.images.cache import load_cached_files, load_cached_images
from karpa_tf.data.images.decoding import DCT_METHOD, JPEG, center_crop_and_resize, decode_image
from karpa_tf.data.images.preparation import map_in_order, prepare
from karpa_tf.data.tfds import load_builder, read_identity
from karpa_tf.errors import UserError
from karpa_tf.system.console import track


def load_tfds(name, image_format, split="train"):
    """Returns the `ImageSet` of a split, or None if the data set does not have it; downloads if necessary.

    Pixels of files are those of the cache of pixels, but for rounding where gray images are resized.

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
    identity = name, split, *read_identity(directory)
    if _keeps_files(builder, split, image_format):
        key = compute_fingerprint("files", *identity, image_format.smallest_size)
        read = functools.partial(_prepare_all, name, builder, split, image_format, classes)
        return load_cached_files(name, key, image_format, read, classes)
    key = compute_fingerprint(*identity, image_format.image_size, image_format.channels, DCT_METHOD)
    read = functools.partial(_decode_all, name, builder, split, image_format, classes)
    return load_cached_images(name, key, image_format, read, classes)


def _keeps_files(builder, split, image_format):
    if not _has_files(builder):
        return False
    count, size = builder.info.splits[split].num_examples, image_format.image_size
    return image_format.keeps_files(count, is_cropped=builder.info.features["image"].shape[:2] != (size, size))


def _has_files(builder):
    import tensorflow_datasets as tfds

    feature = builder.info.features["image"]
    return isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8


def _has_colors(builder):
    return _has_files(builder) and builder.info.features["image"].shape[-1] == 3


def _decode(content, feature):
    """Returns an image in color, uint8 (height, width, 3); JPEG files are decoded as those of folders are."""
    is_jpeg = tf.strings.substr(content, 0, len(JPEG)) == JPEG
    return tf.cond(is_jpeg, lambda: decode_image(content), lambda: feature.decode_example(content))


def _prepare_all(name, builder, split, image_format, classes):
    import tensorflow_datasets as tfds

    examples = builder.as_dataset(split=split, shuffle_files=False, decoders={"image": tfds.decode.SkipDecoding()})
    count = builder.info.splits[split].num_examples

    def convert(example):
        return prepare(example["image"]), int(example["label"]) if classes else -1

    for file, label in track(map_in_order(convert, tfds.as_numpy(examples)), f"Reading {name} ({split})", total=count):
        _require_large(name, file.height, file.width, image_format)
        yield file, label, None


def _require_large(name, height, width, image_format):
    size = min(height, width)
    if size < image_format.image_size and image_format.small_images != "enlarge":
        raise image_format.too_small(f"The images of {name} ({width}x{height}) are", size)


def _decode_all(name, builder, split, image_format, classes):
    import tensorflow_datasets as tfds

    # TensorFlow Datasets decodes JPEG files by another method, and not upright.
    decoders = {"image": tfds.decode.make_decoder(output_dtype=tf.uint8)(_decode)()} if _has_colors(builder) else None
    examples = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)
    count = builder.info.splits[split].num_examples
    shape = (image_format.image_size, image_format.image_size, image_format.channels)
    for example in track(tfds.as_numpy(examples), f"Reading {name} ({split})", total=count):
        pixels = example["image"]
        _require_large(name, *pixels.shape[:2], image_format)
        if pixels.shape != shape:
            pixels = center_crop_and_resize(pixels, image_format.image_size, image_format.channels).numpy()
        yield pixels, int(example["label"]) if classes else -1, None
