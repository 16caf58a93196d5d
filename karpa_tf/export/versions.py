"""Versions of an exported model: written in full, checked, then published by rename."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from karpa_tf.errors import UserError, first_line
from karpa_tf.export import card, housekeeping, operations, warm_up
from karpa_tf.export.comparison import compare
from karpa_tf.export.meta_graph import EXTRA, SAVED_MODEL, count_weights, list_versions, read_meta_graph, signatures_of
from karpa_tf.system.files import publish_folder


@dataclasses.dataclass(frozen=True)
class Call:
    """How people call a signature."""

    note: str
    """Sentences on what goes in and what comes out."""

    python: str
    """Its arguments, as Python says them where TensorFlow is `tf`."""

    rest: str = ""
    """The rest of the body of a REST request, JSON without the braces, or nothing where no one would type it."""

    verb: str = "predict"
    """What stands behind the model's name in the address of a REST request."""


@dataclasses.dataclass(frozen=True)
class Export:
    """A model as it is to be exported. Requests are dicts of input arrays by name."""

    task: str
    """image_classification, image_generation, masked_lm or text_classification."""

    functions: dict[str, Any]
    """The signatures' `tf.function`s by name, the default first; each has an input signature with named tensors."""

    examples: dict[str, list[dict]]
    """Requests to every signature, from real data where there is any: for the check, and to warm a server up."""

    form: str = ""
    """What the page of the server asks for: image, seed, masked_text, text, or nothing."""

    real_examples: bool = True
    """Whether the examples are of the data that the model has learned from, not made up."""

    tracked: tuple = ()
    """What holds tables that they use. Variables are found in them, and would be saved twice if tracked as well."""

    edge_cases: dict[str, list[dict]] = dataclasses.field(default_factory=dict)
    """More requests, for the check alone."""

    tolerances: dict[str, int] = dataclasses.field(default_factory=dict)
    """How far whole numbers may be off, by signature; 0 where it is not named."""

    convertible: Any = None
    """The `tf.function` that other formats than SavedModel can hold: from numbers to a dict of numbers."""

    convertible_examples: list[dict] = dataclasses.field(default_factory=list)
    """Requests to it."""

    files: dict[str, str] = dataclasses.field(default_factory=dict)
    """Texts that go with the model, by file name."""

    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the task alone knows, for the card: names of classes, sizes, whether letters are lower-cased."""

    about: str = ""
    """What it does, for people."""

    limits: tuple[str, ...] = ()
    """What it does not do, a sentence each."""

    calls: dict[str, Call] = dataclasses.field(default_factory=dict)
    """How people call each signature."""


def write(base, export, facts=None, keep=0, allow_custom_ops=False, converters=()):
    """Writes the next version of a SavedModel and returns its folder, `base/<n>`.

    A polling server sees the version when it is complete: it is written to a sibling whose name is not a number, with
    its warm-up file and its card; the ops of its graph are checked; it is loaded once, and every signature must answer
    what the model answers; it is synced and renamed. A published version is never touched. Several processes may write
    below one base at once; what a killed one has left is removed when nobody else writes.

    Args:
        base: folder of the model's versions; its name is the model's.
        export: the `Export`.
        facts: what its card says of where it comes from: `config`, `metrics`, `data`, `seed` and whatever else.
        keep: newest versions to keep, this one among them; 0 keeps all.
        allow_custom_ops: whether ops are let through that a TensorFlow program may not have.
        converters: functions of `convertible`, `convertible_examples` and a folder that write another format into it
            and return a list of what the card says of each file.

    Raises:
        UserError: nothing can be written there, or the graph holds ops that other programs lack.
        RuntimeError: the loaded version answers something else than the model.
    """
    base = Path(base)
    published = []
    try:
        with housekeeping.writing(base):
            # The number is asked for at the end, when all is written.
            with publish_folder(base / "new", lambda: next_version()) as folder:
                known = _fill(folder, base.absolute().name, export, facts or {}, allow_custom_ops, converters)

                def next_version():
                    """Names the version; asked again where another process has just taken the number."""
                    number = max(list_versions(base), default=0) + 1
                    card.save(folder / EXTRA, known | {"version": number}, export)
                    published[:] = [base / str(number)]
                    return published[0]

            housekeeping.retire(base, keep, published[0])
    except OSError as error:
        raise UserError(f"No version can be written to {base} ({error.strerror or error}).") from error
    return published[0]


def _fill(folder, name, export, facts, allow_custom_ops, converters):
    """Writes and checks all of a version but its card, and returns what is to stand there."""
    extra = folder / EXTRA
    try:
        _write_graph(export, folder)
        extra.mkdir()
        warm_up.save(extra / warm_up.FILE, name, export.examples)
    except tf.errors.OpError as error:  # The disk is full, say.
        raise OSError(0, first_line(error)) from error
    for file, text in export.files.items():
        (extra / file).write_text(text, encoding="utf-8")
    meta_graph = read_meta_graph(folder)
    custom = operations.require_core(meta_graph, allow_custom_ops)
    with tf.device("CPU:0"):  # A GPU rounds products to fewer bits, and differently from one call to the next.
        compare(export, load_version(folder))
    formats = [
        entry for convert in converters for entry in convert(export.convertible, export.convertible_examples, extra)
    ]
    made = {"signatures": signatures_of(meta_graph), "formats": formats, "custom_ops": custom}
    return card.make(name, export, facts | {"weight_count": count_weights(folder)} | made)


def _write_graph(export, folder):
    archive = keras.export.ExportArchive()
    for used in export.tracked:
        archive.track(used)
    for name, function in export.functions.items():
        archive.add_endpoint(name, function)
    archive.write_out(folder, verbose=False)


def load_version(directory):
    """Returns the signatures of a SavedModel.

    Args:
        directory: a version's folder, or that of all versions, of which the newest is taken.

    Raises:
        UserError: there is none, or it cannot be loaded.
    """
    folder = Path(directory)
    versions = list_versions(folder)
    if versions:
        folder = folder / str(versions[-1])
    if not (folder / SAVED_MODEL).is_file():
        raise UserError(f"--saved-model {directory} holds no SavedModel; expected saved_models/<name>[/<version>].")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises errors of many kinds for a damaged folder.
        raise UserError(f"--saved-model {folder} cannot be loaded: {first_line(error)}") from error
    return _Signatures(loaded)


class _Signatures(dict):
    """Signatures by name; TensorFlow frees the variables as soon as nothing holds what was loaded."""

    def __init__(self, loaded):
        super().__init__(loaded.signatures)
        self.loaded = loaded
