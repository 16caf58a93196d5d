"""Whether a new version of a model can replace the one before it, for servers take the newest version of a name."""

from pathlib import Path

from karpa_tf.errors import UserError
from karpa_tf.export import card
from karpa_tf.export.card import FILE
from karpa_tf.export.meta_graph import EXTRA, describe_signatures, list_versions, read_meta_graph

LABELS, VOCABULARY = "labels.txt", "vocabulary.txt"
"""Files of an export whose content clients rely on."""

_CONTENTS = {LABELS: "classes", VOCABULARY: "tokens in its vocabulary"}
_MAX_LISTED = 5


def format_lines(names):
    """Returns the text of `LABELS` or `VOCABULARY`: a name on every line."""
    return "".join(f"{name}\n" for name in names)


def require_compatible(base, files, signatures=None, details=None):
    """Raises `UserError` if clients of the newest version of a model cannot use the new one.

    Args:
        base: folder of the model's versions.
        files: dict from `LABELS` and `VOCABULARY` to the text of the new version, or None if it has no such file. Files
            that are left out are not compared.
        signatures: those of the new version as from `describe_signatures`, or None not to compare them.
        details: what the card of the new version will have in `details`, as far as it is known; or None.
    """
    versions = list_versions(base)
    if not versions:
        return
    newest = Path(base, str(versions[-1]))
    try:
        old_signatures = describe_signatures(read_meta_graph(newest))
    except UserError:  # A damaged version has no clients.
        return
    change = (
        _find_changed_file(newest / EXTRA, files)
        or _find_changed_detail(card.read(newest).get("details", {}), details or {})
        or _find_changed_signature(old_signatures, signatures)
    )
    if change:
        raise UserError(
            f"{newest} has {change}; a server would replace it by the new version. Choose another --name, or give "
            "--allow-incompatible."
        )


def _find_changed_file(folder, files):
    if not (folder / FILE).is_file():  # a SavedModel of another program
        return None
    for name, new in files.items():
        old = (folder / name).read_text(encoding="utf-8") if (folder / name).is_file() else None
        if old != new and old and new and sorted(old.splitlines()) == sorted(new.splitlines()):
            return f"the {_CONTENTS[name]} in another order"
        if old != new:
            return f"other {_CONTENTS[name]} ({_list(old, new)}, now {_list(new, old)})"
    return None


def _find_changed_detail(old, new):
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            return f"another {name.replace('_', ' ')} ({old[name]}, now {new[name]})"
    return None


def _list(text, other):
    """Returns those lines of a text, or of None, that the other has not; if there are none, their number."""
    lines = (text or "").splitlines()
    own = [line for line in lines if line not in set((other or "").splitlines())]
    if not own:
        return f"{len(lines)}" if lines else "none"
    return ", ".join(own[:_MAX_LISTED]) + (", ..." if len(own) > _MAX_LISTED else "")


def _find_changed_signature(old, new):
    for name, signature in old.items() if new is not None else ():
        if name not in new:
            return f"the signature {name}, which the new version has not"
        for kind, tensors in signature.items():
            for key, tensor in tensors.items():
                changed = new[name][kind].get(key)
                if changed != tensor:
                    now = _describe(changed) if changed else "missing"
                    return f"other {kind} ({key} of {name} is {_describe(tensor)}, now {now})"
            if kind == "inputs" and new[name][kind].keys() != tensors.keys():
                return f"other inputs ({name} now has {', '.join(new[name][kind])})"
    return None


def _describe(tensor):
    shape = "unknown" if tensor["shape"] is None else tuple(tensor["shape"])
    return f"{tensor['dtype']} {shape}"
