"""Versions of an exported model: written to a hidden folder, checked, then published by renaming it."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from karpa_tf.errors import UserError, first_line
from karpa_tf.export import card, operations, warm_up
from karpa_tf.export.comparison import compare
from karpa_tf.export.compatibility import LABELS, VOCABULARY, require_compatible
from karpa_tf.export.meta_graph import (
    EXTRA,
    SAVED_MODEL,
    count_weights,
    describe_signatures,
    list_versions,
    read_meta_graph,
)
from karpa_tf.system.files import publish_folder, remove_folder


@dataclasses.dataclass(frozen=True)
class Call:
    """Example of calling a signature, for the model card."""

    note: str
    """Description of the inputs and outputs."""

    python: str
    """Keyword arguments in Python, where TensorFlow is imported as `tf`."""

    rest_body: str = ""
    """JSON of a REST request without `signature_name` and without the outer braces; "" shows no REST request."""

    rest_method: str = "predict"
    """Method of TensorFlow Serving's REST API, "predict" or "classify"."""


@dataclasses.dataclass(frozen=True)
class Export:
    """A model to export. Requests are dicts of input arrays by name."""

    task: str
    """Name of the task, free text for the model card."""

    functions: dict[str, Any]
    """A `tf.function` for each signature, the default one first.

    It has an input signature of named tensors and returns a dict of tensors.
    """

    examples: dict[str, list[dict]]
    """Requests to every signature, if possible with real data, to compare the outputs and to warm up servers."""

    form: str = ""
    """Form of the serving page, a key of `serving.page.FORMS`; "" shows the signatures only."""

    real_examples: bool = True
    """Whether `examples` come from the data of the run and are not synthetic."""

    tracked: tuple = ()
    """Objects with the lookup tables that the functions use.

    Objects with variables are not needed: the variables are found in the functions, and would be saved twice.
    """

    edge_cases: dict[str, list[dict]] = dataclasses.field(default_factory=dict)
    """Further requests by signature, only to compare the outputs."""

    tolerances: dict[str, int] = dataclasses.field(default_factory=dict)
    """Maximum difference of integer outputs by signature; 0 by default."""

    convertible: Any = None
    """The `tf.function` to convert to other formats, from numeric tensors to a dict of numeric tensors."""

    convertible_examples: list[dict] = dataclasses.field(default_factory=list)
    """Requests to `convertible`."""

    files: dict[str, str] = dataclasses.field(default_factory=dict)
    """Content of text files to save with the model, by file name."""

    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Properties of the model for the card, such as class names and sizes."""

    about: str = ""
    """What the model does, for the page of the card."""

    limits: tuple[str, ...] = ()
    """Sentences about its limitations, for the page of the card."""

    calls: dict[str, Call] = dataclasses.field(default_factory=dict)
    """An example of calling each signature."""


def write(base, export, metadata=None, keep=0, allow_custom_ops=False, allow_incompatible=False, converters=()):
    """Writes the next version of a SavedModel and returns its folder, `base/<version>`.

    The version is written to a hidden folder with its warm-up requests and its card. The ops of its graph are checked,
    and it is loaded once to compare the outputs of all signatures with those of the model. Then it is synced and
    renamed, so that servers that poll `base` see complete versions only. Published versions are never changed. Several
    processes may write to the same `base` at a time; what killed ones leave is removed when no other process writes.

    Args:
        base: folder of the model's versions; its name is the name of the model.
        export: the `Export`.
        metadata: dict of entries for the card, such as `config`, `metrics`, `data` and `seed`.
        keep: number of newest versions to keep, including this one; 0 keeps all.
        allow_custom_ops: whether to allow ops that other TensorFlow programs may lack.
        allow_incompatible: whether to allow other classes, vocabulary or signatures than those of the newest version.
        converters: functions that write other formats, see `formats.find_converters`. The arguments are
            `export.convertible`, `export.convertible_examples` and the folder of the files; each returns a list of
            dicts for the card, one for each file.

    Raises:
        UserError: the folder cannot be written, the graph has ops that other programs lack, or clients of the newest
            version cannot use the new one.
        RuntimeError: the outputs of the loaded version differ from those of the model.
    """
    base = Path(base)
    published = []
    try:
        with publish_folder(base / "new", lambda: next_version()) as folder:
            content = _write_content(folder, base.absolute().name, export, allow_custom_ops, converters)
            if not allow_incompatible:
                files = {name: export.files.get(name) for name in (LABELS, VOCABULARY)}
                require_compatible(base, files, content["signatures"])
            version_card = card.make(base.absolute().name, export, (metadata or {}) | content)

            def next_version():
                """Returns the folder of the next version; called again if another process has just created it."""
                number = max(list_versions(base), default=0) + 1
                card.save(folder / EXTRA, version_card | {"version": number}, export)
                published[:] = [base / str(number)]
                return published[0]

        remove_old_versions(base, keep, published[0])
    except OSError as error:
        raise UserError(f"No version can be written to {base} ({error.strerror or error}).") from error
    return published[0]


def remove_old_versions(base, keep, newest):
    """Removes all but the newest versions.

    Args:
        base: folder of the model's versions.
        keep: number of versions to keep; 0 keeps all.
        newest: folder of the version just published; neither this version nor a later one is removed.
    """
    number = int(Path(newest).name)
    for old in [version for version in list_versions(base)[:-keep] if version < number] if keep else []:
        remove_folder(Path(base) / str(old))


def _write_content(folder, name, export, allow_custom_ops, converters):
    """Writes and checks everything of a version except its card; returns a dict of entries for the card."""
    extra = folder / EXTRA
    try:
        _write_graph(export, folder)
        extra.mkdir()
        warm_up.save(extra / warm_up.FILE, name, export.examples)
    except tf.errors.OpError as error:  # for example if the disk is full
        raise OSError(0, first_line(error)) from error
    for file, text in export.files.items():
        (extra / file).write_text(text, encoding="utf-8")
    meta_graph = read_meta_graph(folder)
    custom_ops = operations.require_core_ops(meta_graph, allow_custom_ops)
    with tf.device("CPU:0"):  # GPUs compute matrix products with fewer bits, and results differ from call to call.
        compare(export, load_version(folder))
    formats = [
        entry for convert in converters for entry in convert(export.convertible, export.convertible_examples, extra)
    ]
    return {
        "weight_count": count_weights(folder),
        "signatures": describe_signatures(meta_graph),
        "formats": formats,
        "custom_ops": custom_ops,
    }


def _write_graph(export, folder):
    archive = keras.export.ExportArchive()
    for tracked in export.tracked:
        archive.track(tracked)
    for name, function in export.functions.items():
        archive.add_endpoint(name, function)
    archive.write_out(folder, verbose=False)


def find_version(directory):
    """Returns the folder of a version, a `Path`, from that of a version, or of a model, of which it is the newest.

    Raises:
        UserError: there is none.
    """
    folder = Path(directory)
    versions = list_versions(folder)
    if versions:
        folder = folder / str(versions[-1])
    if not (folder / SAVED_MODEL).is_file():
        raise UserError(f"--saved-model {directory} holds no SavedModel; expected saved_models/<name>[/<version>].")
    return folder


def load_version(directory):
    """Returns the signatures of a SavedModel by name.

    Args:
        directory: as for `find_version`.

    Raises:
        UserError: there is no version, or it cannot be loaded.
    """
    folder = find_version(directory)
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises exceptions of many classes for a damaged folder.
        raise UserError(f"--saved-model {folder} cannot be loaded: {first_line(error)}") from error
    return _Signatures(loaded, folder)


class _Signatures(dict):
    """Signatures by name, with a reference to the loaded object: without it TensorFlow would free the variables.

    Attributes:
        folder: of the version.
    """

    def __init__(self, loaded, folder):
        super().__init__(loaded.signatures)
        self.loaded, self.folder = loaded, folder
