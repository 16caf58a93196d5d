"""Removal of old versions, and of folders left by exports that were killed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from karpa_tf.export.meta_graph import list_versions

TEMPORARY = (".writing-*", ".retired-*")
"""Hidden folders of an export: a version that is being written, and one that is being removed."""


@contextlib.contextmanager
def hold_write_lock(base):
    """Holds a shared lock of the folder `base`, which is created, while a version is written to it.

    On entry it removes the hidden folders that killed exports have left, if no other export is running: that is the
    case if the exclusive lock is free, since every export holds the shared lock until its process ends. Nothing is
    removed on file systems without locks.
    """
    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    folder = os.open(base, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            if _lock_exclusively(folder):
                for path in (path for pattern in TEMPORARY for path in base.glob(pattern)):
                    shutil.rmtree(path, ignore_errors=True)
            fcntl.flock(folder, fcntl.LOCK_SH)
        yield
    finally:
        os.close(folder)


def _lock_exclusively(folder):
    """Returns whether the process could get the exclusive lock of an open folder, without waiting."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_old_versions(base, keep, newest):
    """Removes all but the newest versions.

    A version is renamed before it is removed, so that a server that polls `base` never sees an incomplete one.

    Args:
        base: folder of the model's versions.
        keep: number of versions to keep; 0 keeps all.
        newest: folder of the version just published; neither this version nor a later one is removed.
    """
    base, number = Path(base), int(Path(newest).name)
    for old in [version for version in list_versions(base)[:-keep] if version < number] if keep else []:
        temporary = Path(tempfile.mkdtemp(prefix=".retired-", dir=base))
        with contextlib.suppress(OSError):  # Another process may have removed it.
            os.rename(base / str(old), temporary / str(old))
        shutil.rmtree(temporary, ignore_errors=True)
