"""Versions of an exported model: written in full, loaded once, then published by rename."""

from pathlib import Path

import keras
import tensorflow as tf

from karpa_tf.configs.errors import UserError, first_line
from karpa_tf.files import published_folder


def publish(base, functions, tracked, check):
    """Writes the next version of a SavedModel and returns its folder, `base/<n>`.

    A polling server sees the version when it is complete: it is written to a sibling whose name is not a number,
    checked and renamed. A published version is never touched.

    Args:
        base: folder of the model's versions.
        functions: dict of the signatures' `tf.function`s by name.
        tracked: what they use: models, and whatever else holds variables or tables.
        check: function of the signatures by name, as they are when loaded, that raises an error if one of them does not
            do what it should.
    """
    archive = keras.export.ExportArchive()
    for used in tracked:
        archive.track(used)
    for name, function in functions.items():
        archive.add_endpoint(name, function)
    published = []

    def next_version():
        published[:] = [Path(base) / str(max(list_versions(base), default=0) + 1)]
        return published[0]

    with published_folder(next_version(), next_version) as folder:
        archive.write_out(folder, verbose=False)
        check(load_version(folder))
    return published[0]


def list_versions(base):
    """Returns the published version numbers in ascending order."""
    base = Path(base)
    return sorted(int(path.name) for path in base.iterdir() if path.name.isdigit()) if base.is_dir() else []


def load_version(directory):
    """Returns the signatures of a SavedModel.

    Args:
        directory: a version's folder, or that of all versions, of which the newest is taken.

    Raises:
        UserError: there is none, or it cannot be loaded.
    """
    folder = Path(directory)
    versions = list_versions(folder)
    if versions:
        folder = folder / str(versions[-1])
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"--saved-model {directory} holds no SavedModel; expected saved_models/<name>[/<version>].")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises errors of many kinds for a damaged folder.
        raise UserError(f"--saved-model {folder} cannot be loaded: {first_line(error)}") from error
    return _Signatures(loaded)


class _Signatures(dict):
    """Signatures by name; TensorFlow frees the variables as soon as nothing holds what was loaded."""

    def __init__(self, loaded):
        super().__init__(loaded.signatures)
        self.loaded = loaded
