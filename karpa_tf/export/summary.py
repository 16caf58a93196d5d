"""Descriptions of SavedModels, formatted as text."""

from karpa_tf.export.meta_graph import EXTRA, describe_signatures, read_meta_graph


def format_description(description):
    """Returns the result of `inspection.describe` as text."""
    path, tags = description["path"], ", ".join(description["tags"])
    lines = [f"{path}, written by TensorFlow {description['tensorflow']}, tags {tags}"]
    lines.append(f"{description['weights']:,} weights; {description['warm_up_requests']} warm-up requests")
    lines += ["", "Sizes", *(f"  {name:16} {size:>14,} bytes" for name, size in description["sizes"].items())]
    lines += ["", "Signatures"]
    for name, tensors in description["signatures"].items():
        lines.append(f"  {name}")
        for kind in ("inputs", "outputs"):
            for key, tensor in tensors[kind].items():
                lines.append(f"    {kind[:-1]:7} {key:16} {tensor['dtype']:8} {_format_shape(tensor['shape'])}")
    ops = description["ops"]
    custom = [op for op, properties in ops.items() if not properties["core"]]
    lines += ["", f"{len(ops)} kinds of ops, " + ("custom ones first" if custom else "all of TensorFlow's core")]
    for op in sorted(ops, key=lambda op: (op not in custom, op)):
        lines.append(f"  {ops[op]['count']:>6,} {op}" + (" (custom)" if op in custom else ""))
    lines += [f"warning: {op} {reason}." for op, reason in description["custom_ops"].items()]
    return "\n".join([*lines, *_format_card(description["card"])])


def summarize_version(folder):
    """Returns the signatures and other formats of an exported version as text, one per line."""
    signatures = [
        f"{name}: {', '.join(tensors['inputs'])} -> {', '.join(tensors['outputs'])}"
        for name, tensors in describe_signatures(read_meta_graph(folder)).items()
    ]
    files = sorted(folder.glob(f"{EXTRA}/*.tflite")) + sorted(folder.glob(f"{EXTRA}/*.onnx"))
    formats = [f"{file.name}, {file.stat().st_size:,} bytes" for file in files]
    return "\n".join(
        f"{'' if index else title:10}  {line}"
        for title, lines in (("Signatures", signatures), ("Formats", formats))
        for index, line in enumerate(lines)
    )


def _format_shape(shape):
    if shape is None:
        return "any shape"
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _format_card(card):
    """Returns the lines about a model card."""
    if not card:
        return ["", "No model card: it was not exported by karpa_tf."]
    name, version, task, created = (card.get(key) for key in ("name", "version", "task", "created"))
    lines = ["", f"Card of {name}, version {version}: {task}, {created}"]
    if card.get("model"):
        lines.append(f"  model    {card['model']}")
    if card.get("weights"):
        lines.append(f"  weights  {card['weights'].get('description')}")
    for section in ("data", "metrics"):
        values = {key: value for key, value in (card.get(section) or {}).items() if not isinstance(value, dict | list)}
        if values:
            entries = [f"{key} {_format_value(value)}" for key, value in values.items()]
            lines.append(f"  {section:8} {', '.join(entries)}")
    return lines + [f"  format   {entry.get('file')}" for entry in card.get("formats") or []]


def _format_value(value):
    return f"{value:.4g}" if isinstance(value, float) else value
