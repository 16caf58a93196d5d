"""Files and folders that appear complete or not at all."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from karpa_tf.errors import UserError

TEMPORARY = re.compile(r"\.(writing|retired)-[a-z0-9_]{8}")
"""Names of the hidden folders, made by `tempfile.mkdtemp`, of what is being written or removed."""


def write_text(path, text):
    """Writes a file by rename, so that readers see the old text or the new."""
    temporary = path.with_name(f".{path.name}.writing")
    try:
        temporary.write_text(text, encoding="utf-8")
        replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def replace(temporary, path):
    """Renames a file to `path`, replacing what is there, and syncs it to disk."""
    _sync_file(temporary)
    os.replace(temporary, path)
    _sync_folder(path.parent)


def digest(path):
    """Returns the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_writable(directory, flag):
    """Raises `UserError`, naming `flag`, if no folder can be made in `directory`, which need not exist yet."""
    path = Path(directory).absolute()
    try:
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        Path(tempfile.mkdtemp(dir=existing)).rmdir()
    except OSError as error:
        raise UserError(f"{flag} {directory} cannot be written ({error.strerror}); choose another folder.") from error


def require_room(folder, size):
    """Raises `OSError` if the disk has no room for `size` bytes in `folder`; does nothing without posix_fallocate."""
    if hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)


@contextlib.contextmanager
def publish_folder(path, first_free=None):
    """Context manager that gives a temporary folder to fill, then syncs and renames it; it is removed after an error.

    Readers see the complete folder or none. The temporary name starts with a dot and is not a number. What killed
    processes have left in the same parent folder is removed, as by `hold_write_lock`.

    Args:
        path: the final path; if it exists by then, the new folder is discarded.
        first_free: function without arguments that returns a final path instead; called again if the path exists.
    """
    parent = Path(path).parent
    with hold_write_lock(parent):
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=parent))
        os.chmod(temporary, 0o755)
        try:
            yield temporary
            _sync(temporary)
            _rename(temporary, path, first_free)
            _sync_folder(parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary, path, first_free):
    while True:
        final = first_free() if first_free else path
        try:
            os.rename(temporary, final)
            return
        except OSError:
            if not Path(final).exists():
                raise
            if not first_free:
                return


def remove_folder(path):
    """Removes a folder, which readers see complete or not at all; another process may have removed it before."""
    with hold_write_lock(path.parent):
        temporary = Path(tempfile.mkdtemp(prefix=".retired-", dir=path.parent))
        with contextlib.suppress(OSError):
            os.rename(path, temporary / path.name)
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder):
    """Removes what killed processes have left in a folder, which is created, unless another process writes to it."""
    with hold_write_lock(folder):
        pass


@contextlib.contextmanager
def hold_write_lock(folder):
    """Holds a shared lock of a folder, which is created, while something is written to it.

    On entry it removes the hidden folders that killed processes have left, if no other process is writing: that is the
    case if the exclusive lock is free, since a process that writes holds the shared lock until it ends. Nothing is
    removed on file systems without locks.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            if _lock_exclusively(descriptor):
                for path in (path for path in folder.iterdir() if TEMPORARY.fullmatch(path.name)):
                    shutil.rmtree(path, ignore_errors=True)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _lock_exclusively(descriptor):
    """Returns whether the process could get the exclusive lock of an open folder, without waiting."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(folder):
    for root, _, names in os.walk(folder):
        for name in names:
            _sync_file(Path(root) / name)
        _sync_folder(root)


def _sync_file(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
