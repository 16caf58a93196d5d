"""Description of a SavedModel, without loading its weights."""

import json
from pathlib import Path

import tensorflow as tf

from karpa_tf.errors import UserError
from karpa_tf.export import card, warm_up
from karpa_tf.export.meta_graph import (
    ASSETS,
    EXTRA,
    SAVED_MODEL,
    VARIABLES,
    count_weights,
    describe_signatures,
    list_versions,
    read_meta_graph,
)
from karpa_tf.export.operations import count_ops, find_custom_ops, is_core


def find_version(path):
    """Returns the folder of a SavedModel.

    Args:
        path: folder of a version, or of a model, whose newest version is returned.

    Raises:
        UserError: there is no SavedModel.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no {path}; expected the folder of a SavedModel, saved_models/<name>[/<version>].")
    if not path.is_dir():
        raise UserError(f"{path} is a file; expected the folder of a SavedModel, saved_models/<name>[/<version>].")
    versions = list_versions(path)
    folder = path if (path / SAVED_MODEL).exists() or not versions else path / str(versions[-1])
    if not (folder / SAVED_MODEL).exists():
        models = sorted(entry.name for entry in path.iterdir() if list_versions(entry))
        others = f"; it holds models, {', '.join(models)}: name one of them" if models else ""
        raise UserError(f"{folder} holds no SavedModel, there is no {SAVED_MODEL} in it{others}.")
    return folder


def describe(folder):
    """Returns a description of a SavedModel, a dict fit for JSON.

    Returns:
        `path`, `tensorflow` (the version that wrote it), `tags`, `signatures`, `weights` (their number), `sizes` (bytes
        on disk), `ops` (each with its `count` and whether it is `core`), `custom_ops` (with reasons),
        `warm_up_requests` (their number) and `card` (None if it has none).

    Raises:
        UserError: a file is missing or damaged.
    """
    meta_graph = read_meta_graph(folder)
    ops = count_ops(meta_graph)
    return {
        "path": str(folder),
        "tensorflow": meta_graph.meta_info_def.tensorflow_version,
        "tags": sorted(meta_graph.meta_info_def.tags),
        "signatures": describe_signatures(meta_graph),
        "weights": count_weights(folder),
        "sizes": _measure_sizes(folder),
        "ops": {op: {"count": ops[op], "core": is_core(op)} for op in sorted(ops)},
        "custom_ops": find_custom_ops(meta_graph),
        "warm_up_requests": _count_requests(folder / EXTRA / warm_up.FILE),
        "card": _read_card(folder / EXTRA / card.FILE),
    }


def _measure_sizes(folder):
    sizes = {name: _measure_size(folder / name) for name in (SAVED_MODEL, VARIABLES, ASSETS, EXTRA)}
    return sizes | {"total": _measure_size(folder)}


def _measure_size(path):
    """Returns the size of a file, or of all files in a folder, in bytes."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _count_requests(file):
    if not file.exists():
        return 0
    try:
        return sum(1 for _ in tf.data.TFRecordDataset(str(file)))
    except tf.errors.OpError as error:
        raise UserError(f"{file} is damaged: {error.message}.") from error


def _read_card(file):
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}.") from error
