"""The cache of preprocessed data: its folders, written once, and their fingerprints."""

import hashlib
import json
import os
from pathlib import Path

from karpa_tf.errors import UserError
from karpa_tf.system.files import publish_folder, remove_leftovers

# Part of every fingerprint. Increase it when the preprocessing or the layout of the cached files changes.
LAYOUT = 4


def compute_fingerprint(*values):
    """Returns 16 hexadecimal digits that depend on all of the values, which must be serializable to JSON."""
    return hashlib.sha256(json.dumps([LAYOUT, *values]).encode()).hexdigest()[:16]


def get_cache_dir(cache_dir=None):
    """Returns the path of the folder of all caches: `cache_dir`, otherwise $KARPA_CACHE or ~/.cache/karpa_tf.

    Raises:
        UserError: none of them is set and there is no home folder.
    """
    try:
        return Path(cache_dir or os.environ.get("KARPA_CACHE") or "~/.cache/karpa_tf").expanduser()
    except RuntimeError:
        raise UserError("There is no home folder for the cache; set --cache-dir, $KARPA_CACHE or $HOME.") from None


def cache_folder(name, write, cache_dir=None):
    """Returns the path of a folder in the cache, which is written unless it exists.

    What programs that were killed while they wrote to the cache have left is removed.

    Args:
        name: name of the folder.
        write: function of a temporary folder that fills it.
        cache_dir: folder of the cache; None is the default.

    Raises:
        UserError: the cache cannot be written.
    """
    folder = get_cache_dir(cache_dir) / name
    try:
        remove_leftovers(folder.parent)
        if not folder.exists():
            with publish_folder(folder) as temporary:
                write(temporary)
    except OSError as error:
        raise UserError(f"Nothing can be cached in {folder.parent} ({error}); choose another --cache-dir.") from error
    return folder
