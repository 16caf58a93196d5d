"""Model cards of exported versions: `card.json` for programs and `MODEL_CARD.md` for people."""

import dataclasses
import datetime
import json
import math
from pathlib import Path

from karpa_tf.export.meta_graph import EXTRA
from karpa_tf.system import environment
from karpa_tf.system.files import write_text

FILE = "card.json"
PAGE = "MODEL_CARD.md"

MAX_LISTED = 20
"""Maximum number of entries of a list or dict in one line of the page."""

UNKNOWN = "Unknown: the model was exported without a run folder."


def make(name, export, metadata):
    """Returns the card of a version, a dict fit for JSON.

    Args:
        name: name of the model.
        export: its `Export`.
        metadata: dict of further entries, which replace the default ones of the same key.
    """
    versions = environment.read_environment()
    return {
        "name": name,
        "version": 0,
        "task": export.task,
        "form": export.form,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": versions["python"], **versions["versions"]},
        "config": {},
        "metrics": {},
        "data": {},
        "seed": None,
        "signatures": {},
        "calls": {name: dataclasses.asdict(call) for name, call in export.calls.items()},
        "formats": [],
        "details": export.details,
        "real_examples": export.real_examples,
    } | metadata


def save(folder, card, export):
    """Writes a card to `card.json` and `MODEL_CARD.md` in a folder."""
    content = json.dumps(_convert_non_finite(card), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / FILE, content + "\n")
    write_text(folder / PAGE, format_page(card, export))


def read(folder):
    """Returns the card of an exported version, or {} if the folder is gone or has none."""
    file = Path(folder, EXTRA, FILE)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _convert_non_finite(value):
    """Returns a value in which floats that JSON does not have (inf, nan) are strings."""
    if isinstance(value, dict):
        return {key: _convert_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_convert_non_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def format_page(card, export):
    """Returns a card as Markdown."""
    name, version = card["name"], card["version"]
    sections = [
        f"# {name}, version {version}\n\n{export.about} It has {card['weight_count']:,} weights and was exported on "
        f"{card['created'][:10]}.",
        "## Data\n\n" + (_format_list(card["data"]) or UNKNOWN),
        "## Metrics\n\n" + _format_metrics(card),
        "## Training\n\n" + _format_training(card),
        f"## Signatures\n\nThe folder is a SavedModel for TensorFlow Serving and for any TensorFlow program:\n\n"
        f'```python\nimport tensorflow as tf\n\nmodel = tf.saved_model.load("saved_models/{name}/{version}")\n```',
        *[
            _format_signature(name, signature, card["signatures"][signature], call)
            for signature, call in export.calls.items()
        ],
    ]
    if card["formats"]:
        sections.append("## Other formats\n\n" + "\n".join(map(_format_file, card["formats"])))
    if card.get("custom_ops"):
        sections.append(
            "## Custom ops\n\nPrograms that load the model need these ops in addition to TensorFlow's: "
            f"{', '.join(card['custom_ops'])}."
        )
    if export.limits:
        sections.append("## Use and limits\n\n" + "\n".join(f"- {sentence}" for sentence in export.limits))
    versions = ", ".join(f"{package} {number}" for package, number in card["versions"].items())
    return "\n\n".join([*sections, f"Exported with {versions}."]) + "\n"


def _format_metrics(card):
    if not card["metrics"]:
        return "These weights were not evaluated."
    metrics = dict(card["metrics"])
    if "baselines" in metrics:
        metrics["baselines"] = {
            row["name"]: {key: value for key, value in row.items() if key != "name"} for row in metrics["baselines"]
        }
    return "\n\n".join(filter(None, [card.get("measured"), _format_list(metrics)]))


def _format_file(entry):
    """Returns the line about a file in another format."""
    return f"- `{entry['file']}`: {_format_value({key: value for key, value in entry.items() if key != 'file'})}"


def _format_training(card):
    if not card["config"]:
        return UNKNOWN
    run = {
        "program": card["app"],
        "run": card["run"]["name"],
        "device": card.get("device", "not recorded"),
        "weights": card["weights"]["description"],
    }
    config = {key: value for key, value in card["config"].items() if value is not None}
    return f"{_format_list(run)}\n\nConfig:\n\n```json\n{json.dumps(config, indent=2, ensure_ascii=False)}\n```"


def _format_signature(name, signature, tensors, call):
    """Returns the section about a signature: its inputs and outputs, and how to call it."""
    lines = [f"### `{signature}`\n"]
    lines += [f"- input: `{key}`, {_format_tensor(tensor)}" for key, tensor in tensors["inputs"].items()]
    lines += [f"- output: `{key}`, {_format_tensor(tensor)}" for key, tensor in tensors["outputs"].items()]
    lines.append(f"\n{call.note}")
    lines.append(f'\n```python\noutputs = model.signatures["{signature}"]({call.python})\n```')
    if call.rest_body:
        body = f'{{"signature_name": "{signature}", {call.rest_body}}}'
        lines.append(f"\n```sh\ncurl -d '{body}' http://localhost:8501/v1/models/{name}:{call.rest_method}\n```")
    return "\n".join(lines)


def _format_tensor(tensor):
    if tensor["shape"] is None:
        return f"{tensor['dtype']} of any shape"
    return f"{tensor['dtype']} ({', '.join('any' if size is None else str(size) for size in tensor['shape'])})"


def _format_list(values, indent=""):
    """Returns a dict as a Markdown list with one level of nested lists; deeper values are formatted in one line."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict) and not indent:
            lines += [f"- {_format_key(key)}:", _format_list(value, "  ")]
        else:
            lines.append(f"{indent}- {_format_key(key)}: {_format_value(value)}")
    return "\n".join(lines)


def _format_value(value):
    """Returns a value in one line."""
    if isinstance(value, dict):
        value = [f"{_format_key(key)} = {_format_value(item)}" for key, item in value.items()]
    if isinstance(value, list):
        rest = f" and {len(value) - MAX_LISTED} more" if len(value) > MAX_LISTED else ""
        return ", ".join(map(_format_value, value[:MAX_LISTED])) + rest
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _format_key(key):
    return str(key).replace("_", " ")
