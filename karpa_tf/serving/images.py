"""How large encoded images are, from their headers alone: a small file can stand for gigabytes of pixels.

Headers are looked for in all of a string's bytes, so that images within a serialized `tf.Example` count too, however
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
MOST_STEPS = 200_000
"""Frames and pieces of data of a string's GIFs that are looked at; one that has treated as endless."""

ENDLESS = 2**62


def pixels(content):
    """Returns the pixels of all images in a string's bytes, by their headers; of all frames of a GIF."""
    if b"\0" not in content:
        return 0  # a text: the header of every such image has zeros
    total = sum(_big(width) * _big(height) for width, height in PNG.findall(content))
    for length, height, width, components in JPEG.findall(content):
        if _big(length) == 8 + 3 * components[0]:
            total += _big(width) * _big(height)
    steps = iter(range(MOST_STEPS))
    for match in GIF.finditer(content):
        total += _gif_pixels(content, match.end(), steps)
    return total + sum(_webp_pixels(*found) for found in WEBP.findall(content))


def _big(content):
    return int.from_bytes(content, "big")


def _gif_pixels(content, position, steps):
    """Returns the pixels of the GIF whose header ends at `position`: the maximum of its screen and all its frames."""
    screen = frames = 0
    try:
        width, height, flags = struct.unpack_from("<HHB", content, position)
        screen = width * height
        position += 7 + _colors(flags)
        for _ in steps:
            kind = content[position]
            if kind == 0x2C:
                width, height, flags = struct.unpack_from("<HHB", content, position + 5)
                frames += width * height
                position += 11 + _colors(flags)
            elif kind == 0x21:  # an extension
                position += 2
            else:
                return max(screen, frames)
            while content[position]:  # pieces of data, each with its length before it
                position += content[position] + 1
                next(steps)
            position += 1
    except (struct.error, IndexError):
        return max(screen, frames)  # cut off; what has been seen counts
    except StopIteration:
        pass
    return ENDLESS


def _colors(flags):
    """Returns the bytes of a color table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp_pixels(kind, header):
    if kind == b"VP8X":
        return (int.from_bytes(header[8:11], "little") + 1) * (int.from_bytes(header[11:14], "little") + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(header[5:9], "little")
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", header, 10)
    return (width & 0x3FFF) * (height & 0x3FFF)
