"""What lies in a model's folder: its versions, which of them a policy wants, and what leads out of it."""

import contextlib
import os
import re
from pathlib import Path

NUMBER = re.compile(r"[0-9]{1,19}")
LARGEST = 2**63 - 1


def list_versions(base):
    """Returns the folders of versions by number: the children of a folder whose name is a number.

    Raises:
        OSError: `base` is no folder that can be read.
    """
    numbers = {}
    for child in sorted(Path(base).iterdir()):
        if NUMBER.fullmatch(child.name) and int(child.name) <= LARGEST and child.is_dir():
            numbers[int(child.name)] = child
    return numbers


def wanted(versions, policy):
    """Returns the numbers that a version policy asks for.

    Args:
        versions: numbers of the versions that are there.
        policy: a `FileSystemStoragePathSourceConfig.ServableVersionPolicy`; an empty one means the latest.
    """
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return set(versions)
    if choice == "specific":
        return set(versions) & set(policy.specific.versions)
    return set(sorted(versions)[-max(policy.latest.num_versions, 1) :])


def fingerprint(folder):
    """Returns what changes when a file below the folder does: every file's path, size and time of change."""
    found = set()
    for path in _below(folder):
        with contextlib.suppress(OSError):
            state = path.lstat()
            found.add((str(path), state.st_size, state.st_mtime_ns, state.st_ino))
    return frozenset(found)


def leading_out(folder, base):
    """Returns a path in a version's folder that a symbolic link leads out of the model's folder, or None."""
    root = Path(base).resolve()
    links = (path for path in (Path(folder), *_below(folder)) if path.is_symlink())
    return next((path for path in links if not path.resolve().is_relative_to(root)), None)


def _below(folder):
    for parent, folders, files in os.walk(folder):  # follows no links to folders
        for name in (*folders, *files):
            yield Path(parent, name)
