"""Reads the lines of text files, with errors that name the line or byte."""

import codecs
import json
import re

from karpa_tf.errors import UserError, first_line

MAX_CHARACTERS = 2**20
"""Of a line or document; longer ones are split, so that no file has to fit into memory."""


def read_json_lines(file, encoding):
    """Yields the location ("FILE, line 3") and the object of every line of a file that is not blank.

    Raises:
        UserError: a line is not a JSON object.
    """
    for number, line in enumerate(read_lines(file, encoding, split_long=False), 1):
        if line.strip():
            location = f"{file}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:  # also a number of more than 4,300 digits, and deep nesting
                reason = getattr(error, "msg", None) or first_line(error)
                raise UserError(f"{location}: expected a JSON object; {reason}.") from error
            if not isinstance(row, dict):
                raise UserError(f"{location}: expected a JSON object; received {line.strip():.40}.")
            yield location, _replace_surrogates(row) if "\\u" in line else row


def _replace_surrogates(value):
    """Returns a JSON value in which halves of characters, as of emoji that were cut, are replacement characters."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    return {key: _replace_surrogates(item) for key, item in value.items()} if isinstance(value, dict) else value


def require_encoding(encoding):
    """Raises `UserError` unless Python knows an encoding."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise UserError(f"--encoding {encoding} is unknown; expected, for example, utf-8 or latin-1.") from None


def read_lines(file, encoding, split_long=True):
    """Yields the lines of a text file.

    Args:
        file: path of the file.
        encoding: encoding of the file; a byte order mark of UTF-8 is skipped.
        split_long: whether to split lines after `MAX_CHARACTERS` characters.

    Raises:
        UserError: the file cannot be read or decoded, or contains zero bytes.
    """
    require_encoding(encoding)
    encoding = codecs.lookup(encoding).name
    try:
        with open(file, encoding="utf-8-sig" if encoding == "utf-8" else encoding) as lines:
            while line := lines.readline(MAX_CHARACTERS if split_long else -1):
                if "\0" in line:
                    raise UserError(f"{file} is not a text file: it contains zero bytes.")
                yield line
    except UnicodeError as error:
        offset, value = _find_undecodable_byte(file, encoding)
        raise UserError(
            f"{file} is not {encoding}: byte {offset} is {value}; specify the encoding with --encoding, for example "
            "latin-1."
        ) from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error


def _find_undecodable_byte(file, encoding):
    """Returns the offset of the first byte that cannot be decoded, and its value as a hexadecimal string."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    with open(file, "rb") as stream:
        while True:
            pending, chunk = decoder.getstate()[0], stream.read(2**20)
            data = pending + chunk
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return offset - len(pending) + error.start, f"0x{data[error.start]:02x}"
            except UnicodeError:  # for example, a missing byte order mark
                return offset, "wrong"
            offset += len(chunk)
