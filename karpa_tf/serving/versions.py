"""Which versions of a model lie in its folder, and which of them its policy wants."""

import contextlib
import re
from pathlib import Path

from karpa_tf.serving.errors import invalid

NUMBER = re.compile(r"\d{1,19}")


def list_versions(base):
    """Returns the folders of versions by number, and the children that are refused.

    A version is a folder whose name is a number. One that a symbolic link leads out of `base` to is refused.

    Raises:
        OSError: `base` is no folder that can be read.
    """
    base = Path(base)
    root = base.resolve()
    versions, refused = {}, {}
    for child in sorted(base.iterdir()):
        if not NUMBER.fullmatch(child.name) or int(child.name) >= 2**63 or not child.is_dir():
            continue
        if inside(child, root):
            versions[int(child.name)] = child
        else:
            refused[int(child.name)] = child
    return versions, refused


def inside(path, root):
    """Returns whether a path, with all links followed, is below `root`, which has none."""
    return path.resolve().is_relative_to(root)


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
    if choice not in (None, "latest"):
        raise invalid(f"The version policy {choice} is not supported; take latest, all or specific.")
    return set(sorted(versions)[-max(policy.latest.num_versions, 1) :])


def fingerprint(folder):
    """Returns what changes when a file below the folder does: every file's path, size and time of change."""
    found = set()
    for path in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):
            state = path.stat()
            found.add((str(path), state.st_size, state.st_mtime_ns))
    return frozenset(found)
