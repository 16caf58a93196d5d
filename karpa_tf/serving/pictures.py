"""How large encoded pictures are, from their headers alone: a small file can stand for gigabytes of pixels.

Headers are looked for in all of a string's bytes, so that pictures within a serialized `tf.Example` count too, however
it is put together. Pillow would not do: it refuses files that TensorFlow decodes, and these are the ones that matter.
A BMP does not count: it is not compressed, and TensorFlow compares its size with that of the file.
"""

import re
import struct

PNG = re.compile(rb"\x89PNG\r\n\x1a\n.{4}IHDR(.{4})(.{4})", re.DOTALL)
JPEG = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf](..)[\x08\x0c](..)(..)(.)", re.DOTALL)
"""A start of frame: length, bits, height, width, components. A thumbnail has one too."""

GIF = re.compile(rb"GIF8[79]a")
WEBP = re.compile(rb"RIFF.{4}WEBP(VP8[ XL])(.{14})", re.DOTALL)
MOST_FRAMES = 10000
"""Of a GIF, past which it is not looked at further; their screens count by then."""


def pixels(content):
    """Returns the pixels of all pictures in a string's bytes, by their headers; of all frames of a GIF."""
    if b"\0" not in content:
        return 0  # a text: the header of every such picture has zeros
    total = sum(_big(width) * _big(height) for width, height in PNG.findall(content))
    for length, height, width, components in JPEG.findall(content):
        if _big(length) == 8 + 3 * components[0]:
            total += _big(width) * _big(height)
    total += sum(_gif_pixels(content, match.end()) for match in GIF.finditer(content))
    return total + sum(_webp_pixels(*found) for found in WEBP.findall(content))


def _big(content):
    return int.from_bytes(content, "big")


def _gif_pixels(content, place):
    """Returns the pixels of the screen and of every frame of the GIF whose header ends at `place`."""
    total = 0
    try:
        width, height, flags = struct.unpack_from("<HHB", content, place)
        total = width * height
        place += 7 + _colours(flags)
        for _ in range(MOST_FRAMES):
            kind = content[place]
            if kind == 0x2C:  # a frame
                width, height, flags = struct.unpack_from("<HHB", content, place + 5)
                total += width * height
                place += 11 + _colours(flags)
            elif kind == 0x21:  # an extension
                place += 2
            else:
                break
            while content[place]:  # pieces of data, each with its length before it
                place += content[place] + 1
            place += 1
    except (struct.error, IndexError):
        pass  # cut off; what has been seen counts
    return total


def _colours(flags):
    """Returns the bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp_pixels(kind, header):
    if kind == b"VP8X":
        return (int.from_bytes(header[8:11], "little") + 1) * (int.from_bytes(header[11:14], "little") + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(header[5:9], "little")
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", header, 10)
    return (width & 0x3FFF) * (height & 0x3FFF)
