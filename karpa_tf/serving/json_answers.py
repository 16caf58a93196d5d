"""The JSON of a predict answer, in row or column form, as TF Serving writes it."""

import base64
import json

import numpy as np

from karpa_tf.serving.errors import invalid


def write(outputs, rows):
    """Returns the JSON text of an answer.

    Args:
        outputs: dict of arrays by name; those of bytes are base64 where the name ends in _bytes, else text.
        rows: whether it is in row form, one value or object for each row, or in column form.

    Raises:
        ServingError: INVALID_ARGUMENT; outputs differ in their number of rows, or have a type that JSON lacks.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if rows:
        return f'{{"predictions": [\n{_rows(outputs)}\n]}}\n'
    texts = {name: _nested(*_texts(name, value)) for name, value in outputs.items()}
    return f'{{"outputs": {_one_or_object(texts)}}}\n'


def _rows(outputs):
    size = None
    for name, value in outputs.items():
        if value.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and len(value) != size:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(value)} expecting: {size}")
        size = len(value)
    columns = {name: _texts(name, value)[0] for name, value in outputs.items()}
    lines = []
    for row in range(size):
        texts = {}
        for name, value in outputs.items():
            each = value.size // size
            texts[name] = _nested(columns[name][row * each : (row + 1) * each], value.shape[1:])
        lines.append(_one_or_object(texts))
    return ",\n".join(lines)


def _one_or_object(texts):
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items()) + "}"


def _nested(texts, shape):
    """Returns the list of lists of a shape from the texts of its elements."""
    if not shape:
        return texts[0]
    if 0 in shape:
        return json.dumps(np.zeros(shape).tolist())
    for size in reversed(shape):
        texts = ["[" + ", ".join(texts[start : start + size]) + "]" for start in range(0, len(texts), size)]
    return texts[0]


def _texts(name, value):
    """Returns the JSON of every element, and the shape."""
    flat = value.ravel().tolist()
    if value.dtype.kind == "O":
        return [_string(item, name.endswith("_bytes")) for item in flat], value.shape
    if value.dtype.kind in "iu":
        return list(map(str, flat)), value.shape
    if value.dtype.kind == "b":
        return ["true" if item else "false" for item in flat], value.shape
    if value.dtype in (np.float32, np.float64):
        return floats(flat, value.dtype), value.shape
    raise invalid(f"Failed to write JSON value for tensor type: {value.dtype.name}")


def _string(item, as_bytes):
    if as_bytes:
        return f'{{"b64": "{base64.b64encode(item).decode()}"}}'
    return json.dumps(item.decode(errors="replace"), ensure_ascii=False)


def floats(values, dtype):
    """Returns numbers as TF Serving writes them: six digits where these say it all, else as many as the type has.

    Args:
        values: list of floats.
        dtype: numpy's float32 or float64.
    """
    dtype = np.dtype(dtype)
    texts = ("%.6g " * len(values) % tuple(values)).split()
    with np.errstate(over="ignore"):
        differs = np.array(texts, np.float64).astype(dtype) != np.array(values, dtype)
    digits = 9 if dtype == np.float32 else 17
    for index in np.flatnonzero(differs):
        texts[index] = f"{values[index]:.{digits}g}"
    return [_number(text) for text in texts]


def _number(text):
    if text[-1].isdigit():
        return text if "." in text or "e" in text else text + ".0"
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
