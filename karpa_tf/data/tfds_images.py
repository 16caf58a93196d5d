"""Image sets of TensorFlow Datasets, prepared ones without touching the network."""

import contextlib
import logging
import os
import re
import socket
import urllib.parse
import urllib.request
from pathlib import Path

from karpa_tf.configs.errors import UserError
from karpa_tf.data.cache import cached_images, fingerprint
from karpa_tf.data.decoding import square
from karpa_tf.data.progress import track


def load_tfds(name, preparation, split="train"):
    """Returns the `ImageSet` of a set's split, or None if it has none of that name; downloads and prepares at need.

    A prepared set is read from its own folder: TensorFlow Datasets is not asked by name, because that looks for
    the set on the network first.

    Args:
        name: of the set, in TensorFlow Datasets.
        preparation: a `Preparation`.
        split: "train", "validation" or "test".

    Raises:
        UserError: the set is not prepared and cannot be downloaded, has no pictures, or they are smaller than the
            preparation's side.
    """
    import tensorflow_datasets as tfds

    directory = _prepared_folder(name, preparation.data_dir) or _download(name, preparation.data_dir)
    builder = tfds.builder_from_directory(str(directory))
    features = builder.info.features or {}
    if "train" not in builder.info.splits or "image" not in features:
        raise UserError(f"{name} in {directory} has no training split with pictures.")
    if split not in builder.info.splits:
        return None
    has_labels = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    classes = features["label"].names if has_labels else ()
    files = sorted((file.name, file.stat().st_size) for file in directory.iterdir())
    info = (directory / "dataset_info.json").read_text()
    key = fingerprint(name, split, info, files, preparation.side, preparation.channels)
    return cached_images(name, key, preparation, lambda: _rows(name, builder, split, preparation, classes), classes)


def is_published(name, data_dir):
    """Returns whether `data_dir` holds a prepared set called `name`, or TensorFlow Datasets knows one."""
    if not re.fullmatch(r"\w+", name):
        return False
    if _prepared_folder(name, data_dir) is not None:
        return True
    import tensorflow_datasets as tfds

    return name in tfds.list_builders(with_community_datasets=False)


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


def _root(data_dir):
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _prepared_folder(name, data_dir):
    """Returns the folder of the newest prepared version, or None."""
    found = (_root(data_dir) / name).glob("**/dataset_info.json")
    folders = [file.parent for file in found if re.fullmatch(r"\d+\.\d+\.\d+", file.parent.name)]
    return max(folders, key=lambda folder: tuple(map(int, folder.name.split("."))), default=None)


def _download(name, data_dir):
    import tensorflow_datasets as tfds

    root = _root(data_dir)
    # Every one of dozens of retries would print a warning of its own.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        builder = tfds.builder(name, data_dir=str(root))
        _require_network(builder.url_infos)
        builder.download_and_prepare()
    except Exception as error:  # Network, checksum, disk: whatever it was, the way out is the same.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{name} is not prepared in {root} and could not be downloaded ({reason}); on a machine with a network run "
            f"python -c \"import tensorflow_datasets as tfds; tfds.builder('{name}', data_dir='data')"
            f'.download_and_prepare()" and bring the folder data/{name} here as {root / name}.'
        ) from error
    return _prepared_folder(name, data_dir)


def _require_network(urls):
    """Raises `ConnectionError` at once where TensorFlow Datasets would try for minutes: no host of `urls` is known."""
    hosts = {urllib.parse.urlsplit(url).hostname for url in urls}
    if not hosts or urllib.request.getproxies():
        return
    for host in hosts:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(host, None)
            return
    raise ConnectionError(f"no network: {min(hosts)} is not found")
