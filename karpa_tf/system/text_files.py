"""Files and folders that users name by a flag; errors name the flag."""

import csv
import sys
from pathlib import Path

from karpa_tf.errors import UserError


def make_folder(path, flag):
    """Makes a folder unless it exists, and returns its `Path`; raises `UserError` if it cannot be made."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be written ({error.strerror}); choose another folder.") from error
    return Path(path)


def write_table(path, header, rows, flag="--out"):
    """Writes a CSV file; raises `UserError` if it cannot be written.

    Args:
        path: the file.
        header: names of the columns.
        rows: iterable of rows.
        flag: the flag that named the file.
    """
    try:
        # File names may have bytes that are not UTF-8.
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(header)
            table.writerows(rows)
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be written ({error.strerror}).") from error


def read_lines(path, flag="--file", keep_blank=False):
    """Returns the lines of a UTF-8 file, or of standard input for "-"; raises `UserError` if it is none.

    Args:
        path: the file.
        flag: the flag that named the file.
        keep_blank: whether to return blank lines too, but for those at the end.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(f"{flag} {path} is not UTF-8: byte {error.start} is 0x{byte:02x}.") from None
    lines = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")] if text.strip() else []
    return [line for line in lines if line.strip() or keep_blank]
