"""Versions that have had their time, and what exports that were killed have left."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from karpa_tf.export.meta_graph import list_versions

LEFT_OVER = (".writing-*", ".retired-*")
"""Hidden folders of an export: what is being written, and what is being removed."""


@contextlib.contextmanager
def writing(base):
    """Says to other exporters that this one writes below `base`, and first removes what killed ones have left.

    A hidden folder may be that of an exporter that is still at work. All who write hold a shared lock of the folder
    `base`, which the system frees when their process ends, however it ends: who gets it alone may remove. Where the
    file system knows no such locks, nothing is removed.
    """
    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    folder = os.open(base, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            if _alone(folder):
                for left in (path for pattern in LEFT_OVER for path in base.glob(pattern)):
                    shutil.rmtree(left, ignore_errors=True)
            fcntl.flock(folder, fcntl.LOCK_SH)
        yield
    finally:
        os.close(folder)


def _alone(folder):
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def retire(base, keep, newest):
    """Removes all but the `keep` newest versions below `base`; 0 removes none.

    A version is renamed before it is removed, so that a polling server never sees half of one. `newest` is the version
    just published: neither it nor a later one is removed.
    """
    base, number = Path(base), int(Path(newest).name)
    for old in [version for version in list_versions(base)[:-keep] if version < number] if keep else []:
        aside = Path(tempfile.mkdtemp(prefix=".retired-", dir=base))
        with contextlib.suppress(OSError):  # Another exporter may have retired it.
            os.rename(base / str(old), aside / str(old))
        shutil.rmtree(aside, ignore_errors=True)
