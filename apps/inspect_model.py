"""Says what a SavedModel takes, gives and holds, without loading its weights.

$ python -m apps.inspect_model saved_models/cnn_digits          the newest version
$ python -m apps.inspect_model saved_models/cnn_digits/1 --json
"""

import dataclasses
import json

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    path: tuple[str, ...] = ()
    """Folder of a version, or of a model, of which the newest version is taken; any SavedModel will do. The flag's name
    can be left out."""

    json: bool = False
    """Print everything as JSON."""

    verbose: bool = False
    """Show TensorFlow's own messages."""


def run(config):
    """Prints what the files say and returns it, as `inspection.describe` does."""
    if len(config.path) != 1:
        received = f"; received {len(config.path)}" if config.path else ""
        raise UserError(f"Name one folder of a SavedModel{received}.")

    from karpa_tf.export import inspection

    found = inspection.describe(inspection.find_version(config.path[0]))
    if config.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return found
    print(f"{found['path']}, written by TensorFlow {found['tensorflow']}, tags {', '.join(found['tags'])}")
    print(f"{found['weights']:,} weights; {found['warm_up_requests']} warm-up requests")
    print("\nSizes")
    for name, size in found["sizes"].items():
        print(f"  {name:16} {size:>14,} bytes")
    print("\nSignatures")
    for name, tensors in found["signatures"].items():
        print(f"  {name}")
        for part in ("inputs", "outputs"):
            for key, tensor in tensors[part].items():
                print(f"    {part[:-1]:7} {key:16} {tensor['dtype']:8} {_shape(tensor['shape'])}")
    custom = [op for op, facts in found["ops"].items() if not facts["core"]]
    print(f"\n{len(found['ops'])} kinds of ops, " + ("all of TensorFlow's core" if not custom else "custom ones first"))
    for op in sorted(found["ops"], key=lambda op: (op not in custom, op)):
        print(f"  {found['ops'][op]['count']:>6,} {op}" + (" (custom)" if op in custom else ""))
    for op, reason in found["custom_ops"].items():
        print(f"warning: {op} {reason}.")
    _print_card(found["card"])
    return found


def _shape(shape):
    if shape is None:
        return "any shape"
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _print_card(card):
    if not card:
        print("\nNo card: not an export of these programs.")
        return
    print(f"\nCard of {card.get('name')}, version {card.get('version')}: {card.get('task')}, {card.get('created')}")
    if card.get("weights"):
        print(f"  weights  those of {card['weights'].get('description')}")
    for part in ("data", "metrics"):
        values = card.get(part) or {}
        plain = [f"{key} {_short(value)}" for key, value in values.items() if not isinstance(value, dict | list)]
        if plain:
            print(f"  {part:8} {', '.join(plain)}")
    for entry in card.get("formats") or []:
        print(f"  format   {entry.get('file')}")


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value


def main():
    with cli.errors():
        run(cli.parse(Config(), __doc__, words="path"))


if __name__ == "__main__":
    main()
