"""Versions of an exported model: written in full, loaded once, then published by rename."""

from pathlib import Path

from karpa_tf.files import published_folder


def publish(base, save, check):
    """Writes the next version of a SavedModel and returns its folder, `base/<n>`.

    A polling server sees the version when it is complete: it is written to a sibling whose name is not a number,
    checked and renamed. A published version is never touched.

    Args:
        base: folder of the model's versions.
        save: function of a path that writes a SavedModel there.
        check: function of a path that raises an error if the SavedModel there is not what it should be.
    """
    published = []

    def next_version():
        published[:] = [Path(base) / str(max(list_versions(base), default=0) + 1)]
        return published[0]

    with published_folder(next_version(), next_version) as folder:
        save(folder)
        check(folder)
    return published[0]


def list_versions(base):
    """Returns the published version numbers in ascending order."""
    base = Path(base)
    return sorted(int(path.name) for path in base.iterdir() if path.name.isdigit()) if base.is_dir() else []
