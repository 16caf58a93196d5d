"""Sets of TensorFlow Datasets, prepared ones without touching the network."""

import contextlib
import logging
import os
import re
import socket
import urllib.parse
import urllib.request
from pathlib import Path

from karpa_tf.errors import UserError, first_line


def open_set(name, data_dir):
    """Returns a builder of the set called `name` and the folder that it reads; downloads and prepares at need.

    A prepared set is read from its own folder: TensorFlow Datasets is not asked by name, because that looks for
    the set on the network first.

    Raises:
        UserError: the set is not prepared and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    directory = _prepared_folder(name, data_dir) or _download(name, data_dir)
    return tfds.builder_from_directory(str(directory)), directory


def identity(directory):
    """Returns what tells one prepared set from another, fit for JSON."""
    files = sorted((file.name, file.stat().st_size) for file in directory.iterdir())
    return [(directory / "dataset_info.json").read_text(), files]


def is_published(name, data_dir):
    """Returns whether `data_dir` holds a prepared set called `name`, or TensorFlow Datasets knows one."""
    if not re.fullmatch(r"\w+", name):
        return False
    if _prepared_folder(name, data_dir) is not None:
        return True
    import tensorflow_datasets as tfds

    return name in tfds.list_builders(with_community_datasets=False)


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
        reason = first_line(error)
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
