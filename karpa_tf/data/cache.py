"""Location of the caches of preprocessed data, and their fingerprints."""

import hashlib
import json
import os
from pathlib import Path

from karpa_tf.errors import UserError

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
