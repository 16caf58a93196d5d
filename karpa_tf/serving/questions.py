"""Converts images, texts and seeds to the inputs of a signature."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from karpa_tf.errors import UserError, first_line, nearest
from karpa_tf.serving.protos import without_tensorflow

IMAGES, TEXTS, SEEDS = "images", "--text", "--seed"
"""Kinds of input, as named on the command line."""

DEFAULT = "serving_default"

FORMATS = ("PNG", "JPEG", "GIF", "BMP")
"""Image formats that TensorFlow decodes; Pillow converts others to PNG."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
"""Suffixes of the images in a folder."""

MOST_BYTES, MOST_PIXELS, MOST_ROWS = 8 * 10**6, 25 * 10**6, 64
"""Limits of one request; a server's own limits are usually higher. A larger image is sent alone."""


class ImageFile(NamedTuple):
    """An image file: its name, its content as TensorFlow can read it, and its number of pixels."""

    name: str
    content: bytes
    pixels: int


def choose(signatures, name, asked):
    """Returns the signature for a kind of input: its name, its input's name and encoding ("bytes", "pixels", ...).

    Args:
        signatures: dict of `client.Signature` by name.
        name: of the signature, or None: `image_bytes` for seeds, else serving_default, else the first that takes such
            inputs.
        asked: `IMAGES`, `TEXTS` or `SEEDS`.

    Raises:
        UserError: no signature takes such inputs.
    """
    if name is not None and name not in signatures:
        raise UserError(f"There is no signature {name}; there are {', '.join(signatures)}{nearest(name, signatures)}")
    wanted = [name] if name else [*(["image_bytes"] if asked == SEEDS else []), DEFAULT, *sorted(signatures)]
    wanted = [key for key in dict.fromkeys(wanted) if key in signatures]
    for key in wanted:
        takes = _takes(signatures[key])
        if takes and takes[0] == asked:
            return key, *takes[1:]
    described = "; ".join(f"{key}: {_described(signatures[key])}" for key in wanted)
    raise UserError(f"No signature takes {asked}. What the model takes: {described}.")


def _takes(signature):
    """Returns (kind, input name, encoding) of a signature with one input, or None."""
    if len(signature.inputs) != 1:
        return None
    ((name, info),) = signature.inputs.items()
    rank = None if info.shape is None else len(info.shape)
    if info.dtype == "object" and rank in (1, None):
        if name.endswith("_bytes"):
            return IMAGES, name, "bytes"
        if name == "inputs" and set(signature.outputs) <= {"classes", "scores"}:
            return IMAGES, name, "examples"
        return TEXTS, name, "text"
    if info.dtype == "uint8" and rank == 4:
        return IMAGES, name, "pixels"
    if info.dtype in ("int64", "int32") and rank == 1:
        return SEEDS, name, "seeds"
    return None


def _described(signature):
    takes = _takes(signature)
    inputs = ", ".join(f"{name} {_kind(info)}" for name, info in sorted(signature.inputs.items()))
    return f"{inputs} ({takes[0]})" if takes else inputs


def _kind(info):
    shape = "" if info.shape is None else "(" + ", ".join("any" if n < 0 else str(n) for n in info.shape) + ")"
    return f"{'string' if info.dtype == 'object' else info.dtype} {shape}".strip()


def find_image_files(names):
    """Returns image files, given a list of files and folders.

    Raises:
        UserError: a path does not exist, or a folder has no images.
    """
    files = []
    for path in map(Path, names):
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not found:
                raise UserError(f"There are no images in {path}; expected files such as a.png or b.jpg.")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise UserError(f"There is no image or folder {path}.")
    return files


def read_image(file):
    """Returns the `ImageFile` of a file, converted to PNG if TensorFlow may not decode its format.

    Raises:
        UserError: it cannot be read as an image.
    """
    try:
        content = Path(file).read_bytes()
        with Image.open(file) as image:
            pixels = image.width * image.height
            if image.format not in FORMATS:
                content = _png(ImageOps.exif_transpose(image))
            else:
                image.load()
    except UnidentifiedImageError:
        raise UserError(f"{file} is no image, or of an unknown format.") from None
    except Exception as error:  # Pillow raises errors of many kinds for damaged files.
        raise UserError(f"{file} cannot be read as an image: {first_line(error)}") from None
    return ImageFile(str(file), content, pixels)


def _png(image):
    buffer = io.BytesIO()
    image.convert("RGBA" if image.has_transparency_data else "RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def in_requests(images):
    """Yields lists of images that are small enough for one request each."""
    group = []
    for image in images:
        together = [*group, image]
        if group and (
            len(together) > MOST_ROWS
            or sum(len(p.content) for p in together) > MOST_BYTES
            or sum(p.pixels for p in together) > MOST_PIXELS
        ):
            yield group
            together = [image]
        group = together
    if group:
        yield group


def in_rows(items):
    """Yields lists of texts or seeds, one for each request."""
    for start in range(0, len(items), MOST_ROWS):
        yield items[start : start + MOST_ROWS]


def select_inputs(items, encoding, info):
    """Returns the array for an input.

    Args:
        items: list of `ImageFile`, `str` or `int`.
        encoding: "bytes", "pixels", "examples", "text" or "seeds".
        info: `client.Info` of the input.

    Raises:
        UserError: the signature takes pixels of a variable size.
    """
    if encoding == "seeds":
        return np.asarray(items, info.dtype)
    if encoding == "pixels":
        return np.stack([_pixels(image, info.shape[1:]) for image in items])
    array = np.empty(len(items), object)
    if encoding == "examples":
        array[:] = _examples([image.content for image in items])
    else:
        array[:] = [item.content if encoding == "bytes" else item.encode() for item in items]
    return array


def _pixels(image, shape):
    """Returns an image's center crop, resized to uint8 `shape`; the model's own preprocessing may round differently."""
    height, width, channels = shape
    if min(height, width) < 1 or channels not in (1, 3):
        raise UserError(f"The signature takes pixels of shape {list(shape)}; expected a fixed size of 1 or 3 channels.")
    with Image.open(io.BytesIO(image.content)) as image:
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        image = ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.LANCZOS)
        return np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(shape)


def _examples(contents):
    with without_tensorflow():
        from tensorflow.core.example import example_pb2
    examples = []
    for content in contents:
        example = example_pb2.Example()
        example.features.feature["image_bytes"].bytes_list.value.append(content)
        examples.append(example.SerializeToString())
    return examples
