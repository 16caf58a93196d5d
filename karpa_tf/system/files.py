"""Files and folders that appear whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from karpa_tf.errors import UserError


def write_text(path, text):
    """Writes a file by rename: readers see the old text or the new."""
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_text(text, encoding="utf-8")
    replace(temporary, path)


def replace(temporary, path):
    """Gives a file that has been written its name, in place of what had it, and syncs it."""
    _sync_file(temporary)
    os.replace(temporary, path)
    _sync_folder(path.parent)


def digest(path):
    """Returns the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_writable(directory, flag):
    """Raises `UserError` naming `flag` if no folder can be made in `directory`, which need not exist yet."""
    existing = next(path for path in (Path(directory).absolute(), *Path(directory).absolute().parents) if path.exists())
    try:
        Path(tempfile.mkdtemp(dir=existing)).rmdir()
    except OSError as error:
        raise UserError(f"{flag} {directory} cannot be written ({error.strerror}); choose another folder.") from error


def require_room(folder, size):
    """Raises `OSError` if no file of `size` bytes can be made in `folder`, where the system tells beforehand."""
    if hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)


@contextlib.contextmanager
def publish_folder(path, first_free=None):
    """Gives a new folder beside `path` to fill; once filled it is synced and renamed, or removed after an error.

    Readers see the whole folder or none. The temporary name starts with a point and is not a number.

    Args:
        path: the final name; where it exists by then, the new folder is thrown away.
        first_free: function of no arguments that returns a final name, asked again while the name is taken.
    """
    parent = Path(path).parent
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=parent))
    os.chmod(temporary, 0o755)
    try:
        yield temporary
        _sync(temporary)
        while True:
            final = first_free() if first_free else path
            try:
                os.rename(temporary, final)
                break
            except OSError:
                if not Path(final).exists():
                    raise
                if not first_free:
                    break
        _sync_folder(parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
