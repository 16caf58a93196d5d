"""Answers of models: printed, or saved as images or as JSON."""

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from karpa_tf import plots
from karpa_tf.errors import UserError

MAX_PRINTED = 8
"""Number of values of an output that are printed."""


def show(items, outputs, top):
    """Prints the outputs for each of `items`: `questions.ImageFile`s, texts or seeds.

    Args:
        items: list of length batch.
        outputs: dict of arrays by name, (batch, ...).
        top: number of classes or words to print.
    """
    if not all(array.ndim and len(array) == len(items) for array in outputs.values()):
        _show_arrays("", outputs)
    elif {"tokens", "scores", "positions"} <= set(outputs):
        rows = zip(items, outputs["tokens"], outputs["scores"], outputs["positions"], strict=True)
        for text, tokens, scores, positions in rows:
            _show_words(text, tokens, scores, positions, top)
    elif {"classes", "scores"} == set(outputs) and outputs["scores"].ndim == 2:
        for item, classes, scores in zip(items, outputs["classes"], outputs["scores"], strict=True):
            best = np.argsort(-scores, kind="stable")[:top]
            print(f"{_label(item)}  " + "  ".join(f"{_text(classes[i])} {scores[i]:.1%}" for i in best))
    elif images := _generated(outputs):
        with Image.open(io.BytesIO(images[0])) as image:
            print(f"{len(images)} image{'s' * (len(images) > 1)} of {image.width}x{image.height}")
    else:
        for row, item in enumerate(items):
            _show_arrays(f"{_label(item)}  ", {name: array[row] for name, array in outputs.items()})


def check_out(path):
    """Raises `UserError` if `save` does not support the suffix."""
    if Path(path).suffix.lower() not in (".json", ".png", ".gif", ""):
        raise UserError(f"--out must end in .json, .png or .gif, or be a folder; received {path}.")


def save(path, items, outputs, raw):
    """Saves answers and returns a message that names the file.

    Args:
        path: .json for complete answers, .png for a grid of generated images, .gif for an animation; anything else is a
            folder for one PNG file per image.
        items: list of images, texts or seeds.
        outputs: list of dicts of arrays by name, one for each request.
        raw: list of functions that return the answers as JSON.

    Raises:
        UserError: the answers hold no images, or the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".json":
            documents = [json.loads(text()) for text in raw]
            path.write_text(json.dumps(documents[0] if len(documents) == 1 else documents, indent=1) + "\n")
            return f"The answer is in {path}."
        files = [file for answer in outputs for file in _generated(answer)]
        if not files:
            raise UserError(f"--out {path}: the answer holds no images; a file that ends in .json takes any answer.")
        if path.suffix:
            _save_together(path, files)
        else:
            path.mkdir(exist_ok=True)
            for item, file in zip(items, files, strict=True):
                (path / f"{Path(_label(item)).stem.replace(' ', '_')}.png").write_bytes(file)
    except OSError as error:
        raise UserError(f"--out {path} cannot be written ({error.strerror}).") from error
    return f"The images are in {path}."


def _save_together(path, files):
    if len(files) == 1 and path.suffix.lower() == ".png":
        path.write_bytes(files[0])
        return
    images = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    plots.save_images(path, np.stack([image if image.ndim == 3 else image[..., None] for image in images]))


def _generated(outputs):
    """Returns the images of an answer as PNG files, from files or pixels; an empty list if there are none."""
    for name, array in outputs.items():
        if array.dtype.kind == "O" and name.endswith("_bytes") and array.ndim == 1:
            return list(array)
        if array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] in (1, 3):
            return [_png(image) for image in array]
    return []


def _png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _show_words(text, tokens, scores, positions, top):
    predictions = [
        [(_text(token), float(score)) for token, score in zip(names[:top], probabilities[:top], strict=True)]
        for names, probabilities, position in zip(tokens, scores, positions, strict=True)
        if position >= 0
    ]
    pieces = text.split("[MASK]")
    filled = pieces[0] + "".join(words[0][0] + piece for words, piece in zip(predictions, pieces[1:], strict=False))
    print(filled + "[MASK]".join(["", *pieces[len(predictions) + 1 :]]))
    for number, words in enumerate(predictions, 1):
        label = f"  {number}: " if len(pieces) > 2 else "  "
        print(label + "  ".join(f"{word} {probability:.1%}" for word, probability in words))
    if len(pieces) == 1:
        print("warning: there is no [MASK] in the text; write one for every word to predict.", file=sys.stderr)
    elif len(predictions) < len(pieces) - 1:
        print(
            f"warning: only the first {len(predictions)} masks are within the model's sequence length.",
            file=sys.stderr,
        )


def _show_arrays(label, outputs):
    for name, array in outputs.items():
        array = np.asarray(array)
        values = [_text(x) if isinstance(x, bytes) else f"{x:.4g}" for x in array.ravel()[:MAX_PRINTED].tolist()]
        more = " ..." if array.size > MAX_PRINTED else ""
        kind = "string" if array.dtype.kind == "O" else array.dtype.name
        print(f"{label}{name}: {kind} {list(array.shape)}: {' '.join(values)}{more}")


def _label(item):
    if isinstance(item, int):
        return f"seed {item}"
    return item if isinstance(item, str) else item.name


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
