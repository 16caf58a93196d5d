"""The arrays that the JSON of a predict request holds, by TF Serving's rules, and its errors' words."""

import json

from karpa_tf.serving.errors import ServingError, invalid
from karpa_tf.serving.json_tensors import array, is_base64, show, utf8

SYNTAX = {
    "Expecting value": "Invalid value.",
    "Extra data": "The document root must not be followed by other values.",
    "Expecting ',' delimiter": "Missing a comma or } or ] after an element.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid control character at": "Invalid encoding in string.",
}
"""TF Serving's parser's words for what Python's finds."""


def parse(body):
    """Returns the dict that a request's body holds.

    Raises:
        ServingError: INVALID_ARGUMENT; it is no JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode())
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {SYNTAX.get(error.msg, error.msg)} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: The document is nested too deeply.") from None
    except ValueError:  # Python reads no number of more than 4300 digits.
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return document


def signature_name(document, default="serving_default"):
    """Returns the request's signature_name, or the default.

    Raises:
        ServingError: INVALID_ARGUMENT; it is no string, or no text.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    utf8(name)
    return name or default


def read_inputs(document, infos):
    """Returns the arrays of a predict request and whether it is in row form.

    Args:
        document: the request; "instances" is the row form, "inputs" the column form.
        infos: dict of `TensorInfo` by name of input.

    Raises:
        ServingError: INVALID_ARGUMENT; the values are not what the inputs take.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {show(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "instances" in document:
        return _read_rows(document, infos), True
    if "inputs" in document:
        return _read_columns(document["inputs"], infos), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_columns(value, infos):
    if not isinstance(value, dict) or is_base64(value):
        if len(infos) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        ((name, info),) = infos.items()
        return {name: array(value, info.dtype)}
    for name in sorted(infos):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: array(value[name], info.dtype) for name, info in sorted(infos.items())}


def _read_rows(document, infos):
    rows = document["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {show(document)} Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
    named = isinstance(rows[0], dict) and not is_base64(rows[0])
    if not named and len(infos) != 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    for index, row in enumerate(rows):
        is_object = isinstance(row, dict) and not is_base64(row)
        if named and not is_object:
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if is_object and not named:
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        if named and set(row) != set(infos):
            unknown = sorted(set(row) - set(infos))
            if unknown:
                raise _row_error(index, f" key: {unknown[0]}", f"JSON object: does not have named input: {unknown[0]}")
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: {show(row)} keys must be "
                f"equal to: {','.join(sorted(infos))}"
            )
    if not named:
        ((name, info),) = infos.items()
        return {name: _read_row_values(rows, info.dtype, "")}
    return {
        name: _read_row_values([row[name] for row in rows], info.dtype, f" key: {name}")
        for name, info in sorted(infos.items())
    }


def _read_row_values(values, dtype, key):
    """Returns the array of all rows at once; where that fails, the rows one by one say which of them is wrong."""
    try:
        return array(values, dtype)
    except ServingError:
        first = None
        for index, value in enumerate(values):
            try:
                row = array(value, dtype)
            except ServingError as error:
                raise _row_error(index, key, error.message, error.code) from None
            first = row if first is None else first
            if row.size != first.size:
                raise _row_error(index, key, f"Expecting tensor size: {first.size} but got: {row.size}") from None
            if row.shape != first.shape:
                raise _row_error(
                    index, key, f"Expecting shape {_shape(first.shape)} but got: {_shape(row.shape)}"
                ) from None
        raise


def _row_error(index, key, message, code=None):
    status = "INVALID_ARGUMENT" if code is None else code.name
    return invalid(f"Failed to process element: {index}{key} of 'instances' list. Error: {status}: {message}")


def _shape(shape):
    return f"[{','.join(map(str, shape))}]"
