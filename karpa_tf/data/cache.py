"""Where prepared data is cached."""

import hashlib
import json
import os
from pathlib import Path

LAYOUT = 2


"""Part of every fingerprint: raise it when the decoding or the files below change."""


def fingerprint(*parts):
    """Returns 16 hexadecimal digits that change when any of the parts, strings or numbers, does."""
    return hashlib.sha256(json.dumps([LAYOUT, *parts]).encode()).hexdigest()[:16]


def cache_folder(cache_dir):
    """Returns the folder of all caches: `cache_dir`, $KARPA_CACHE or ~/.cache/karpa_tf."""
    return Path(cache_dir or os.environ.get("KARPA_CACHE") or Path.home() / ".cache" / "karpa_tf").expanduser()
