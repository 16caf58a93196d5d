"""The versions and the machine of a program."""

import contextlib
import importlib.metadata
import platform

PACKAGES = ("tensorflow", "keras", "keras-hub", "tensorflow-datasets", "numpy", "pillow", "scikit-learn")


def environment():
    """Returns the versions and the machine, for `run.json`; imports nothing."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"python": platform.python_version(), "platform": platform.platform(), "versions": versions}
