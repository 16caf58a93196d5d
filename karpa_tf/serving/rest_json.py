"""The JSON of REST predict requests and answers, in rows (`instances`) and in columns (`inputs`)."""

import json

from karpa_tf.serving.errors import invalid
from karpa_tf.serving.tensors import from_json, is_base64, to_json


def answer(servable, body):
    """Returns the JSON text of a `Servable`'s answer to the body of a predict request, or raises `ServingError`."""
    document = _parse(body)
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"signature_name must be a string; received {name!r}.")
    infos = servable.signature(name).inputs
    in_rows = "instances" in document
    if in_rows == ("inputs" in document):
        raise invalid("Expected either 'instances', a list of rows, or 'inputs', the columns.")
    columns = _transpose(document["instances"], infos) if in_rows else _columns(document["inputs"], infos)
    outputs = servable.run(name, {key: from_json(key, value, infos[key].dtype) for key, value in columns.items()})
    if in_rows:
        return json.dumps({"predictions": _rows(outputs)}, ensure_ascii=False)
    return json.dumps({"outputs": _only_or_all(outputs)}, ensure_ascii=False)


def _parse(body):
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise invalid("The body must be a JSON object.")
    return document


def _transpose(rows, infos):
    """Returns the list of values of each input, from a list of rows."""
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances' must be a list of one row or more.")
    named = [isinstance(row, dict) and not is_base64(row) for row in rows]
    if not any(named):
        return {_only(infos): rows}
    names = rows[named.index(True)].keys()
    _require_known(names, infos)
    for number, row in enumerate(rows):
        if not named[number] or row.keys() != names:
            raise invalid(f"Row {number} of 'instances' must be an object with the keys {sorted(names)}.")
    return {name: [row[name] for row in rows] for name in names}


def _columns(value, infos):
    if not isinstance(value, dict) or is_base64(value):
        return {_only(infos): value}
    _require_known(value, infos)
    return value


def _only(infos):
    if len(infos) != 1:
        raise invalid(f"The signature has the inputs {sorted(infos)}; name the value of each.")
    return next(iter(infos))


def _require_known(names, infos):
    unknown = sorted(set(names) - set(infos))
    if unknown:
        raise invalid(f"Expected the inputs {sorted(infos)}, received {unknown}.")


def _rows(outputs):
    if any(value.ndim == 0 for value in outputs.values()) or len({len(value) for value in outputs.values()}) != 1:
        shapes = {key: value.shape for key, value in outputs.items()}
        raise invalid(
            f"The outputs have no common first dimension: {shapes}; ask with 'inputs' instead of 'instances'."
        )
    columns = _only_or_all(outputs)
    if len(outputs) == 1:
        return columns
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _only_or_all(outputs):
    columns = {key: to_json(key, value) for key, value in outputs.items()}
    return next(iter(columns.values())) if len(columns) == 1 else columns
