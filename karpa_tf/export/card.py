"""What a version says of itself: `card.json` for programs, `MODEL_CARD.md` for people."""

import datetime
import json
import math

from karpa_tf.system import environment
from karpa_tf.system.files import write_text

FILE = "card.json"
PAGE = "MODEL_CARD.md"

NAMED = 20
"""Entries of a list or of a dict that the page names in one line."""

NOT_KNOWN = "Not known: the model was exported without a run folder."


def make(name, export, facts):
    """Returns the card of a version, a dict fit for JSON.

    Args:
        name: of the model.
        export: its `Export`.
        facts: what is known besides; it wins over what is empty here.
    """
    empty = {"config": {}, "metrics": {}, "data": {}, "seed": None, "signatures": {}, "formats": []}
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    here = environment.environment()
    versions = {"python": here["python"], **here["versions"]}
    known = {"name": name, "version": 0, "task": export.task, "created": created, "versions": versions}
    return known | empty | {"details": export.details, "real_examples": export.real_examples} | facts


def save(folder, card, export):
    """Writes a card to `card.json` and, for people, to `MODEL_CARD.md`."""
    write_text(folder / FILE, json.dumps(_finite(card), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(folder / PAGE, page(card, export))


def _finite(value):
    """Returns a value in which numbers that JSON does not know (inf, nan) are words."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def page(card, export):
    """Returns a card as Markdown."""
    name, version = card["name"], card["version"]
    parts = [
        f"# {name}, version {version}\n\n{export.about} It has {card['weight_count']:,} weights and was exported on "
        f"{card['created'][:10]}.",
        "## Data\n\n" + (_list(card["data"]) or NOT_KNOWN),
        "## Metrics\n\n" + _metrics(card),
        "## Training\n\n" + _training(card),
        f"## Signatures\n\nThe folder is a SavedModel, for TensorFlow Serving and for any program with TensorFlow:\n\n"
        f'```python\nimport tensorflow as tf\n\nmodel = tf.saved_model.load("saved_models/{name}/{version}")\n```',
        *[_signature(name, signature, card["signatures"][signature], call) for signature, call in export.calls.items()],
    ]
    if card["formats"]:
        parts.append("## Other formats\n\n" + "\n".join(map(_format, card["formats"])))
    if card.get("custom_ops"):
        parts.append(f"## Custom ops\n\nPrograms need more than TensorFlow for it: {', '.join(card['custom_ops'])}.")
    if export.limits:
        parts.append("## Use and limits\n\n" + "\n".join(f"- {sentence}" for sentence in export.limits))
    versions = ", ".join(f"{package} {number}" for package, number in card["versions"].items())
    return "\n\n".join([*parts, f"Made with {versions[0].upper()}{versions[1:]}."]) + "\n"


def _metrics(card):
    if not card["metrics"]:
        return "Nothing was measured with these weights."
    return "\n\n".join(filter(None, [card.get("measured"), _list(card["metrics"])]))


def _format(entry):
    return f"- `{entry['file']}`: {_inline({key: value for key, value in entry.items() if key != 'file'})}"


def _training(card):
    if not card["config"]:
        return NOT_KNOWN
    said = {"program": card["app"], "run": card["run"]["name"], "device": card.get("device", "not recorded")}
    said["weights"] = f"those of {card['weights']['description']}"
    kept = {key: value for key, value in card["config"].items() if value is not None}
    return f"{_list(said)}\n\nThe whole config:\n\n```json\n{json.dumps(kept, indent=2, ensure_ascii=False)}\n```"


def _signature(name, signature, tensors, call):
    """Returns the paragraph of a signature: what goes in and comes out, and how it is called."""
    lines = [f"### `{signature}`\n"]
    lines += [f"- in: `{key}`, {_kind(tensor)}" for key, tensor in tensors["inputs"].items()]
    lines += [f"- out: `{key}`, {_kind(tensor)}" for key, tensor in tensors["outputs"].items()]
    lines.append(f"\n{call.note}")
    lines.append(f'\n```python\nanswer = model.signatures["{signature}"]({call.python})\n```')
    if call.rest:
        body = f'{{"signature_name": "{signature}", {call.rest}}}'
        lines.append(f"\n```sh\ncurl -d '{body}' http://localhost:8501/v1/models/{name}:{call.verb}\n```")
    return "\n".join(lines)


def _kind(tensor):
    if tensor["shape"] is None:
        return f"{tensor['dtype']} of any shape"
    return f"{tensor['dtype']} ({', '.join('any' if size is None else str(size) for size in tensor['shape'])})"


def _list(values, indent=""):
    """Returns a dict as a list of its entries; what is within a list within the list stands in one line."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict) and not indent:
            lines += [f"- {_plain(key)}:", _list(value, "  ")]
        else:
            lines.append(f"{indent}- {_plain(key)}: {_inline(value)}")
    return "\n".join(lines)


def _inline(value):
    if isinstance(value, dict):
        value = [f"{_plain(key)} = {_inline(item)}" for key, item in value.items()]
    if isinstance(value, list):
        rest = f" and {len(value) - NAMED} more" if len(value) > NAMED else ""
        return ", ".join(map(_inline, value[:NAMED])) + rest
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(key):
    return str(key).replace("_", " ")
