"""Data sets of TensorFlow Datasets; prepared ones are read without network access."""

import contextlib
import logging
import os
import re
import socket
import urllib.parse
import urllib.request
from pathlib import Path

from karpa_tf.errors import UserError, first_line


def load_builder(name, data_dir):
    """Returns the builder of a data set and the folder of its files; downloads and prepares the data set if necessary.

    A prepared data set is opened by its folder, because opening it by name looks it up on the network first.

    Args:
        name: name of the data set in TensorFlow Datasets.
        data_dir: folder of prepared data sets; None is $TFDS_DATA_DIR or ~/tensorflow_datasets.

    Raises:
        UserError: the data set is not prepared and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    directory = _find_prepared_folder(name, data_dir) or _download(name, data_dir)
    return tfds.builder_from_directory(str(directory)), directory


def read_identity(directory):
    """Returns the description and the file sizes of a prepared data set, for `compute_fingerprint`."""
    files = sorted((file.name, file.stat().st_size) for file in directory.iterdir())
    return [(directory / "dataset_info.json").read_text(), files]


def is_available(name, data_dir):
    """Returns whether `data_dir` holds a prepared data set called `name`, or TensorFlow Datasets can prepare it."""
    if not re.fullmatch(r"\w+", name):
        return False
    if _find_prepared_folder(name, data_dir) is not None:
        return True
    import tensorflow_datasets as tfds

    return name in tfds.list_builders(with_community_datasets=False)


def _get_data_dir(data_dir):
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _find_prepared_folder(name, data_dir):
    """Returns the folder of the newest prepared version, or None."""
    files = (_get_data_dir(data_dir) / name).glob("**/dataset_info.json")
    folders = [file.parent for file in files if re.fullmatch(r"\d+\.\d+\.\d+", file.parent.name)]
    return max(folders, key=lambda folder: tuple(map(int, folder.name.split("."))), default=None)


def _download(name, data_dir):
    import tensorflow_datasets as tfds

    root = _get_data_dir(data_dir)
    # urllib3 would print a warning for each of dozens of retries.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        builder = tfds.builder(name, data_dir=str(root))
        _require_network(builder.url_infos)
        builder.download_and_prepare()
    except Exception as error:  # Network, checksum, disk and more; the solution is always the same.
        reason = first_line(error)
        raise UserError(
            f"{name} is not prepared in {root} and could not be downloaded ({reason}). On a machine with network "
            f"access, run python -c \"import tensorflow_datasets as tfds; tfds.builder('{name}', data_dir='data')"
            f'.download_and_prepare()" and copy the folder data/{name} to {root / name}.'
        ) from error
    return _find_prepared_folder(name, data_dir)


def _require_network(urls):
    """Raises `ConnectionError` if no host of `urls` can be resolved; TensorFlow Datasets would retry for minutes."""
    hosts = {urllib.parse.urlsplit(url).hostname for url in urls}
    if not hosts or urllib.request.getproxies():
        return
    for host in hosts:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(host, None)
            return
    raise ConnectionError(f"no network: the host {min(hosts)} is not found")
