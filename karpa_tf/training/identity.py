"""Whether a run folder holds the run that the flags describe."""

import os

from karpa_tf.configs.run import MAY_CHANGE


def find_changed_data(old, new, name="data"):
    """Returns a description of each part of the data, a dict in `run.json`, whose fingerprint differs."""
    if old.get("fingerprint") != new.get("fingerprint") and "fingerprint" in old and "fingerprint" in new:
        unit = next((unit for unit in ("count", "tokens") if unit in old and unit in new), None)
        return [f"{name}: {unit} {old[unit]:,}, now {new[unit]:,}" if unit else f"{name} differs"]
    changes = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            changes += find_changed_data(a, b, key)
        elif "fingerprint" in (a if isinstance(a, dict) else b if isinstance(b, dict) else {}):
            changes.append(f"{key} {'is missing now' if b is None else 'is new'}")
    return changes


def find_differences(old, new, defaults=None, prefix=""):
    """Returns a description of each setting that differs, except for `MAY_CHANGE`, of two configs as nested dicts.

    Args:
        old: the config of the run.
        new: the present config.
        defaults: values of settings that are newer than the run, a nested dict.
        prefix: of the names of the settings.
    """
    differences, defaults = [], defaults or {}
    for key in sorted((old.keys() | new.keys()) - set(MAY_CHANGE)):
        a, b = old.get(key, defaults.get(key) if key in new else None), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            differences += find_differences(a, b, defaults.get(key), f"{prefix}{key}.")
        elif a != b and not (isinstance(a, str) and isinstance(b, str) and os.path.normpath(a) == os.path.normpath(b)):
            differences.append(f"{prefix}{key} was {a}, now {b}")
    return differences
