"""Location of the caches of preprocessed data, and their fingerprints."""

import hashlib
import json
import os
from pathlib import Path

# Part of every fingerprint. Increase it when the preprocessing or the layout of the cached files changes.
LAYOUT = 3


def compute_fingerprint(*values):
    """Returns 16 hexadecimal digits that depend on all of the values, which must be serializable to JSON."""
    return hashlib.sha256(json.dumps([LAYOUT, *values]).encode()).hexdigest()[:16]


def get_cache_dir(cache_dir=None):
    """Returns the path of the folder of all caches: `cache_dir`, otherwise $KARPA_CACHE or ~/.cache/karpa_tf."""
    return Path(cache_dir or os.environ.get("KARPA_CACHE") or Path.home() / ".cache" / "karpa_tf").expanduser()
