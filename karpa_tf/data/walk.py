"""The only walk through folders of data: what counts as data, and what is left out."""

import collections
import os
from pathlib import Path

from karpa_tf.errors import UserError
from karpa_tf.system.console import warn

SYSTEM_NAMES = frozenset(
    ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__")
    + ("Thumbs.db", "desktop.ini")
)
"""Names of folders and files that operating systems, network drives and programs leave behind."""


def to_text(name):
    """Returns the name of a file or folder as text: bytes that are not UTF-8 become escapes such as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def require_no_model(data):
    """Raises `UserError` if `data`, the value of `--data`, is a run folder or an exported model, given by mistake."""
    path = Path(data).expanduser()
    if (path / "run.json").is_file() and (path / "config.yaml").is_file():
        raise UserError(
            f"--data {data} is a run folder, not a data set: name it with --init to start from its weights (where the "
            "program has that flag), or with --run to resume or evaluate it; --data names the images or texts."
        )
    if (path / "saved_model.pb").is_file() or next(path.glob("*/saved_model.pb"), None):
        raise UserError(
            f"--data {data} is an exported model, not a data set: name it with --saved-model where the program has "
            "that flag, or its run with --init to start from its weights; --data names the images or texts."
        )


class FolderWalk:
    """Finds the files of a data set and counts what it leaves out.

    Hidden and system files and folders are left out, and so are files with other suffixes. Links are followed; a folder
    that is reached twice is entered once.

    Args:
        suffixes: suffixes of the files to find, in lower case; None finds all.

    Attributes:
        left_out: `collections.Counter` of what was left out, by kind.
    """

    def __init__(self, suffixes=None):
        self.suffixes, self.left_out = suffixes, collections.Counter()

    def find_folders(self, directory):
        """Returns the sorted names of the folders in a folder."""
        return sorted(entry.name for entry in os.scandir(directory) if entry.is_dir() and self._is_data(entry.name))

    def find_files(self, directory):
        """Returns the sorted paths of the files in a folder, at any depth."""
        files, visited = [], set()
        for root, folders, names in os.walk(directory, onerror=self._count_unreadable, followlinks=True):
            if (real := os.path.realpath(root)) in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = [name for name in folders if self._is_data(name)]
            files += [Path(root, name) for name in names if self._is_data(name) and self._has_suffix(name)]
        return sorted(files)

    def warn(self, directory):
        """Prints what was left out of a folder, by kind and number, unless it is nothing."""
        if self.left_out:
            kinds = (f"{kind} ({count:,})" for kind, count in sorted(self.left_out.items()))
            warn(f"{directory}: left out {', '.join(kinds)}.")

    def _is_data(self, name):
        is_data = not name.startswith(".") and name not in SYSTEM_NAMES
        if not is_data:
            self.left_out["hidden or system files or folders"] += 1
        return is_data

    def _has_suffix(self, name):
        suffix = Path(name).suffix.lower()
        if self.suffixes is None or suffix in self.suffixes:
            return True
        self.left_out[f"files ending in {suffix}" if suffix else "files without a suffix"] += 1
        return False

    def _count_unreadable(self, error):
        self.left_out["folders that cannot be read"] += 1
