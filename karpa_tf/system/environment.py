"""Package versions and platform."""

import contextlib
import importlib.metadata
import platform

PACKAGES = ("tensorflow", "keras", "keras-hub", "tensorflow-datasets", "numpy", "pillow", "scikit-learn")


def read_environment():
    """Returns package versions and the platform, a dict for `run.json`, without importing the packages."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"python": platform.python_version(), "platform": platform.platform(), "versions": versions}
