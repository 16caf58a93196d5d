"""Documents for pretraining: text files, JSON lines, data sets of TensorFlow Datasets, and Python's documentation."""

import ast
import dataclasses
import functools
import glob
import json
import platform
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from karpa_tf.data.text.lines import MAX_CHARACTERS, read_json_lines, read_lines, require_encoding
from karpa_tf.data.tfds import is_available, load_builder, read_identity
from karpa_tf.data.walk import FolderWalk, require_no_model
from karpa_tf.errors import UserError, list_names, nearest

JSON_LINES_SUFFIXES = (".jsonl", ".ndjson", ".json")

SUFFIXES = (".txt", ".text", ".md", ".rst", *JSON_LINES_SUFFIXES)
"""Suffixes of the files that are read in a folder; files that are specified by name may have any suffix."""

PYTHON_DOCS = "python_docs"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Documents that can be read repeatedly and are not kept in memory."""

    name: str
    """The value of `--data`."""

    identity: tuple
    """Changes when the documents do; serializable to JSON."""

    read: Callable[[], Iterator[str]]
    """Returns an iterator over the documents, non-empty strings, always in the same order."""

    size: int | None = None
    """In bytes, if known."""

    is_tfds: bool = False
    """Whether it is a data set of TensorFlow Datasets, which may have other splits."""


def find_corpus(data, field="text", encoding="utf-8", data_dir=None, split="train", documents="auto"):
    """Returns the `Corpus` of `data`, or None if a data set of TensorFlow Datasets does not have the split.

    In a text file, documents are separated by blank lines if there are any in the first `MAX_CHARACTERS` characters.
    Otherwise a file that is no longer is one document if it is one of several, and every line is one if not; documents
    that are longer are split. In a .json, .jsonl or .ndjson file, and in one whose first line is a JSON
    object, every line is an object whose `field` is a document.

    Args:
        data: "python_docs", a file, a folder (read recursively), a glob, or a data set of TensorFlow Datasets.
        field: name of the text field in JSON lines and in the examples of a data set.
        encoding: encoding of the files.
        data_dir: folder of prepared data sets of TensorFlow Datasets; None is its default.
        split: split of a data set of TensorFlow Datasets.
        documents: what is a document of a text file instead: "lines", "paragraphs" or "files".

    Raises:
        UserError: `data` does not exist, or has no text. `Corpus.read` raises it for a file that cannot be decoded or
            parsed, with its name and the line or byte.
    """
    require_encoding(encoding)
    if data == PYTHON_DOCS:
        return Corpus(data, (data, platform.python_version()), _read_python_docs)
    path = Path(data).expanduser()
    if not path.exists() and is_available(str(data), data_dir):
        return _find_tfds(data, field, data_dir, split)
    files = _find_files(data, path)
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    read = functools.partial(_read_files, data, files, field, encoding, documents)
    identity = (field, encoding, documents, states)
    return Corpus(str(data), identity, read, sum(file.stat().st_size for file in files))


def _find_files(data, path):
    if path.is_dir():
        require_no_model(data)
        walk = FolderWalk(SUFFIXES)
        files = walk.find_files(path)
        walk.warn(data)
        if not files:
            raise UserError(f"--data {data} has no text files; expected files ending in {', '.join(SUFFIXES)}.")
        return files
    files = [path] if path.is_file() else sorted(map(Path, glob.glob(str(path), recursive=True)))
    files = [file for file in files if file.is_file()]
    if not files:
        raise UserError(
            f"--data {data}: there is no such file, folder, glob or data set; python_docs needs no files"
            f"{nearest(str(data), [PYTHON_DOCS])}"
        )
    return files


def _read_files(data, files, field, encoding, documents):
    is_empty = True
    for file in files:
        if _is_json_lines(file, encoding):
            texts = _read_json_documents(file, field, encoding)
        else:
            unit = _find_unit(file, encoding, len(files) > 1) if documents == "auto" else documents
            texts = _SPLIT[unit](read_lines(file, encoding))
        for text in texts:
            is_empty = False
            yield text
    if is_empty:
        raise UserError(f"--data {data} has no text: {len(files)} file{'s' * (len(files) > 1)}, all empty.")


def _is_json_lines(file, encoding):
    """Returns whether a file holds JSON lines, by its suffix or its first line that is not blank."""
    if file.suffix.lower() in JSON_LINES_SUFFIXES:
        return True
    first = next((line for line in read_lines(file, encoding) if line.strip()), "")
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _find_unit(file, encoding, is_one_of_several):
    """Returns what is a document of a text file, from its first `MAX_CHARACTERS` characters: a key of `_SPLIT`."""
    size, after_blank_line = 0, False
    for line in read_lines(file, encoding):
        if line.strip():
            if size and after_blank_line:
                return "paragraphs"
            size += len(line)
        after_blank_line = not line.strip()
        if size > MAX_CHARACTERS:
            return "lines"
    return "files" if is_one_of_several else "lines"


def _split_lines(lines):
    return filter(None, map(str.strip, lines))


def _split_paragraphs(lines, keep_blank_lines=False):
    """Yields the paragraphs of a text, or all of it, in documents of at most `MAX_CHARACTERS` characters and a line."""
    paragraph, size = [], 0
    for line in lines:
        is_end = not line.strip() and not keep_blank_lines
        if (is_end or size > MAX_CHARACTERS) and paragraph:
            yield "".join(paragraph).strip()
            paragraph, size = [], 0
        if line.strip() or (keep_blank_lines and paragraph):
            paragraph.append(line)
            size += len(line)
    if paragraph:
        yield "".join(paragraph).strip()


_SPLIT = {
    "lines": _split_lines,
    "paragraphs": _split_paragraphs,
    "files": functools.partial(_split_paragraphs, keep_blank_lines=True),
}


def _read_json_documents(file, field, encoding):
    for location, row in read_json_lines(file, encoding):
        if field not in row:
            raise UserError(f"{location}: no field {field}; the fields are {list_names(row)}. Select one with --field.")
        if not isinstance(row[field], str):
            raise UserError(f"{location}: {field} must be a string; received {row[field]!r:.40}.")
        if row[field].strip():
            yield row[field].strip().encode("utf-8", "replace").decode("utf-8")  # JSON may have unpaired surrogates


def _find_tfds(name, field, data_dir, split):
    builder, directory = load_builder(name, data_dir)
    features = builder.info.features or {}
    if field not in features:
        raise UserError(
            f"{name} has no feature {field}; the features are {', '.join(features)}. Select one with --field."
        )
    if split not in builder.info.splits:
        return None

    def read():
        import tensorflow_datasets as tfds

        # Some data sets are a single text, for example a book, which is split like a file.
        is_single = builder.info.splits[split].num_examples == 1
        for example in tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)):
            text = example[field].decode("utf-8", "replace").strip()
            yield from _split_paragraphs(text.splitlines(keepends=True)) if is_single else filter(None, [text])

    return Corpus(str(name), (name, split, field, *read_identity(directory)), read, is_tfds=True)


def _read_python_docs():
    """Yields the topics of the language reference and the docstrings of the standard library."""
    from pydoc_data.topics import topics

    yield from filter(None, (_remove_code(topics[name]) for name in sorted(topics)))
    library = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(library.rglob("*.py")):
        if not {"site-packages", "dist-packages", "test", "tests"} & set(file.relative_to(library).parts):
            yield from _read_docstrings(file)


def _read_docstrings(file):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escape sequences
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):  # templates, and files that cannot be read
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = _remove_code(ast.get_docstring(node) or "")
            if len(text.split()) >= 8:
                yield text


def _remove_code(text):
    """Returns a text without doctests and without lines that have no letters, such as those of tables."""
    lines = (line for line in text.splitlines() if not line.strip() or any(map(str.isalpha, line)))
    return "\n".join(line for line in lines if not line.lstrip().startswith((">>>", "... "))).strip()
