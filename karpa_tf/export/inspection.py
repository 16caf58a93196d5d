"""A SavedModel described, without loading its weights."""

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
    list_versions,
    read_meta_graph,
    signatures_of,
)
from karpa_tf.export.operations import count_ops, custom_ops, is_core


def find_version(path):
    """Returns the folder of a SavedModel: a version's, or the newest of those below the folder of a model.

    Raises:
        UserError: there is none.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no {path}; expected the folder of a SavedModel, saved_models/<name>[/<version>].")
    if not path.is_dir():
        raise UserError(f"{path} is a file; expected the folder of a SavedModel, saved_models/<name>[/<version>].")
    versions = list_versions(path)
    folder = path if (path / SAVED_MODEL).exists() or not versions else path / str(versions[-1])
    if not (folder / SAVED_MODEL).exists():
        models = sorted(inner.name for inner in path.iterdir() if list_versions(inner))
        others = f"; it holds models, {', '.join(models)}: name one of them" if models else ""
        raise UserError(f"{folder} holds no SavedModel, there is no {SAVED_MODEL} in it{others}.")
    return folder


def describe(folder):
    """Returns what the files of a SavedModel say, a dict fit for JSON.

    Returns:
        `path`, `tensorflow` (the version that wrote it), `tags`, `signatures`, `weights` (how many), `sizes` (bytes on
        disk), `ops` (each with its `count` and whether it is `core`), `custom_ops` (with the reason),
        `warm_up_requests` (how many) and `card` (None where it has none).

    Raises:
        UserError: a file is missing or damaged.
    """
    meta_graph = read_meta_graph(folder)
    ops = count_ops(meta_graph)
    return {
        "path": str(folder),
        "tensorflow": meta_graph.meta_info_def.tensorflow_version,
        "tags": sorted(meta_graph.meta_info_def.tags),
        "signatures": signatures_of(meta_graph),
        "weights": count_weights(folder),
        "sizes": _sizes(folder),
        "ops": {op: {"count": ops[op], "core": is_core(op)} for op in sorted(ops)},
        "custom_ops": custom_ops(meta_graph),
        "warm_up_requests": _count_requests(folder / EXTRA / warm_up.FILE),
        "card": _card(folder / EXTRA / card.FILE),
    }


def _sizes(folder):
    parts = {name: _size(folder / name) for name in (SAVED_MODEL, VARIABLES, ASSETS, EXTRA)}
    return parts | {"total": _size(folder)}


def _size(path):
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


def _card(file):
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is damaged: {error}.") from error
