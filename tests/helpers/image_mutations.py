"""Mutated image files, and the program that reads them: `python image_mutations.py EXPORT SEED FIRST COUNT`.

Case n of a seed is always the same file. The program prints a line for every case that begins, so that a crash names
its case, and ends with a JSON object of what came out.
"""

import collections
import contextlib
import io
import json
import random
import re
import resource
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

from PIL import Image

SIDE = 8


def make_samples():
    """Returns a list of (suffix, content) of undamaged images of many kinds."""
    rng = random.Random(0)
    rgb = Image.frombytes("RGB", (20, 12), rng.randbytes(20 * 12 * 3)).resize((40, 24), Image.Resampling.BICUBIC)
    rgba = rgb.copy()
    rgba.putalpha(rgb.convert("L"))
    frames = {"save_all": True, "append_images": [rgb.rotate(180), rgb.rotate(90)]}
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    exif = {"exif": exif}
    kinds = [
        *(("JPEG", rgb, {name: 1}) for name in ("optimize", "progressive", "restart_marker_rows")),
        ("JPEG", rgb, {"subsampling": 0}),
        *(("JPEG", rgb.convert(mode), options) for mode in ("L", "CMYK") for options in ({}, {"progressive": True})),
        *((kind, rgb, exif) for kind in ("JPEG", "PNG", "WEBP")),
        *(("PNG", image, {}) for image in (rgb, rgba, rgba.convert("LA"))),
        *(("PNG", rgb.convert(mode), {}) for mode in ("L", "1", "I;16")),
        *(("PNG", rgb.quantize(2**bits), {"bits": bits, **more})
          for bits in (1, 2, 4, 8) for more in ({}, {"transparency": 1})),
        ("PNG", rgb, frames),
        *(("GIF", rgb, options) for options in ({}, frames, {"interlace": 0})),
        ("GIF", rgba, {}),
        *(("BMP", image, {}) for image in (rgb, rgba, rgb.quantize(16), rgb.convert("L"), rgb.convert("1"))),
        *(("WEBP", image, {"lossless": lossless, **more})
          for image in (rgb, rgba) for lossless in (True, False) for more in ({}, exif, frames)),
    ]  # fmt: skip
    samples = []
    for kind, image, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, format=kind, **options)
        samples.append((f".{kind.lower()}", buffer.getvalue()))
    return samples


def split(suffix, data):
    """Returns the segments or chunks of an image file, or blocks of 16 bytes."""
    if suffix == ".jpeg":
        return re.split(rb"(?=\xff[\xc0-\xcf\xd8-\xef\xfe])", data)[1:]
    if suffix in (".png", ".webp"):
        start, order, extra = (8, ">I", 12) if suffix == ".png" else (12, "<I", 8)
        pieces = [data[:start]]
        while start < len(data):
            (size,) = struct.unpack_from(order, data, start + (4 if suffix == ".webp" else 0))
            end = start + extra + size + (size % 2 if suffix == ".webp" else 0)
            pieces.append(data[start:end])
            start = end
        return pieces
    return [data[start : start + 16] for start in range(0, len(data), 16)]


def repair(suffix, data):
    """Returns a PNG file with right checksums, a WebP file with the right size, so that damage reaches the decoder."""
    if suffix == ".webp":
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:] if len(data) > 12 else data
    if suffix != ".png":
        return data
    with contextlib.suppress(struct.error):
        pieces = split(suffix, data)
        checked = [piece[:-4] + struct.pack(">I", zlib.crc32(piece[4:-4])) for piece in pieces[1:] if len(piece) >= 12]
        return b"".join(pieces[:1] + checked)
    return data


def find_size(suffix, data):
    """Returns the format and the position of the width and the height in an undamaged file."""
    if suffix == ".jpeg":
        return ">HH", re.search(rb"\xff[\xc0\xc2]\0[\x0b\x11\x14]", data).start() + 5
    if suffix == ".gif":
        return "<HH", 6
    if suffix == ".webp":
        return "<II", 24 if data[12:16] == b"VP8X" else 21 if data[12:16] == b"VP8L" else 26
    return (">II", 16) if suffix == ".png" else ("<II", 18)


def make_case(samples, seed, number):
    """Returns (mutation, suffix, content) of a case."""
    rng = random.Random(f"{seed} {number}")
    suffix, data = rng.choice(samples)
    name = rng.choice(list(MUTATIONS))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = MUTATIONS[name](rng, samples, suffix, data)
    return name, suffix, repair(suffix, data) if rng.random() < 0.7 else data


def flip_bits(rng, samples, suffix, data):
    data = bytearray(data)
    end = rng.choice([len(data), 64])
    for _ in range(rng.randint(1, 12)):
        if data:
            data[rng.randrange(min(end, len(data)))] ^= 1 << rng.randrange(8)
    return bytes(data)


def truncate(rng, samples, suffix, data):
    return data[: rng.randrange(len(data) + 1)]


def move_pieces(rng, samples, suffix, data):
    try:
        pieces = split(suffix, data)
    except struct.error:
        return data
    one, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    what = rng.randrange(4)
    if what == 0:
        pieces[one], pieces[other] = pieces[other], pieces[one]
    elif what == 1:
        pieces[other:other] = [pieces[one]] * rng.choice([1, 1, 100])
    elif what == 2:
        del pieces[one]
    else:
        pieces[one] = rng.choice(split(*rng.choice(samples)))
    return b"".join(pieces)


def change_length(rng, samples, suffix, data):
    data = bytearray(data)
    pieces = split(suffix, bytes(data)) if suffix in (".jpeg", ".png", ".webp") and data[:2] else [data]
    start = sum(map(len, pieces[: rng.randrange(len(pieces))])) + (2 if suffix == ".jpeg" else 0)
    value = rng.choice([0, 1, 2, 7, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, rng.randrange(2**32)])
    packed = struct.pack(rng.choice("<>") + "I", value)[: rng.choice([2, 4])]
    data[start : start + len(packed)] = packed
    return bytes(data)


def change_size(rng, samples, suffix, data):
    order, start = find_size(suffix, data)
    biggest = 2 ** (16 if order.endswith("HH") else 32) - 1
    sides = [0, 1, 41, 255, 8_000, 14_000, 16_383, 23_000, 30_000, 65_500, 2**17, 2**31 - 1, biggest]
    packed = struct.pack(order, *(min(rng.choice(sides), biggest) for _ in range(2)))
    if suffix == ".webp" and data[12:16] != b"VP8X":
        packed = rng.randbytes(4)
    return data[:start] + packed + data[start + len(packed) :]


def join(rng, samples, suffix, data):
    other = rng.choice(samples)[1]
    cut, start = rng.randrange(len(data) + 1), rng.randrange(len(other))
    return rng.choice([data + other, other + data, data[:cut] + other, data[:cut] + other[start:], data[:16] + other])


def insert(rng, samples, suffix, data):
    cut = rng.randrange(len(data) + 1)
    return data[:cut] + rng.choice([rng.randbytes(rng.randint(1, 40)), bytes(999), b"\xff" * 999]) + data[cut:]


def _only_once(mutation):
    """Mutations that need an undamaged file leave a damaged one as it is."""

    def mutate(rng, samples, suffix, data):
        try:
            return mutation(rng, samples, suffix, data)
        except (struct.error, AttributeError):
            return data

    return mutate


MUTATIONS = {
    "bits": flip_bits,
    "truncated": truncate,
    "pieces": move_pieces,
    "length": _only_once(change_length),
    "size": _only_once(change_size),
    "joined": join,
    "inserted": insert,
}


def main(export, seed, first, count):
    import numpy as np
    import tensorflow as tf

    from karpa_tf.configs.image_format import ImageFormat
    from karpa_tf.data.images.decoding import decode_image
    from karpa_tf.data.images.folder import load_folder
    from karpa_tf.errors import UserError

    classify = tf.saved_model.load(export).signatures["serving_default"]
    samples, outcomes, slowest = make_samples(), collections.Counter(), 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "images")
        folder.mkdir()
        for number in range(first, first + count):
            print(number, flush=True)
            name, suffix, data = make_case(samples, seed, number)
            (folder / f"{number}{suffix}").write_bytes(data)
            start = time.monotonic()
            refusals = []
            for read in (decode_image, lambda data: classify(image_bytes=data[None])["scores"]):
                try:
                    values = read(tf.constant(data)).numpy()
                    assert values.size and np.isfinite(values).all(), f"case {number}: {values.shape}"
                    refusals.append(None)
                except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
                    refusals.append(str(error))
            assert (refusals[0] is None) == (refusals[1] is None), f"case {number}: {refusals}"
            slowest = max(slowest, time.monotonic() - start)
            outcomes[f"{name} {suffix} {'refused' if refusals[0] else 'image'}"] += 1
        image_format = ImageFormat(image_size=SIDE, channels=3, small_images="enlarge", cache_dir=f"{temporary}/cache")
        files = {file.name for file in folder.iterdir()}
        try:
            image_set = load_folder(folder, image_format)
        except UserError as error:
            raise SystemExit(f"no image of {count} can be used: {error}") from error
        skipped = {re.match(rf"{folder.resolve()}/(\S+): \S", reason)[1] for reason in image_set.skipped}
        assert skipped | set(image_set.names) == files and not skipped & set(image_set.names)
        outcomes |= {"folder image": len(image_set.names), "folder refused": len(skipped)}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"outcomes": outcomes, "slowest_s": round(slowest, 2), "peak_mb": memory}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
