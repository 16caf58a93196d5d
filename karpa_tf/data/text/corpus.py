"""Documents to learn language from: text files, JSON lines, sets of TensorFlow Datasets, and Python's own texts."""

import ast
import codecs
import dataclasses
import functools
import glob
import json
import platform
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from karpa_tf.data.tfds import is_available, load_builder, read_identity
from karpa_tf.errors import UserError, nearest

SUFFIXES = (".txt", ".text", ".md", ".rst", *(JSON_LINES := (".jsonl", ".ndjson")))
"""Files of a folder that are read; a file that is named is read whatever it is called."""

PYTHON_DOCS = "python_docs"

AT_MOST = 2**20
"""Characters of a line or document; what is longer is cut, so that no file has to fit into memory."""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Documents that can be gone through again and again, without being held in memory."""

    name: str
    """What `--data` said."""

    identity: tuple
    """Changes when the documents do; fit for JSON."""

    read: Callable[[], Iterator[str]]
    """Returns an iterator of the documents, non-empty strings, in the same order each time."""

    size: int | None = None
    """Bytes, where they are known."""

    is_set: bool = False
    """Whether it is a set of TensorFlow Datasets, which may have other splits."""


def find_corpus(data, field="text", encoding="utf-8", data_dir=None, split="train"):
    """Returns the `Corpus` called `data`, or None if a set of TensorFlow Datasets has no such split.

    In a text file blank lines part documents; where its first million characters hold none, line ends do. In a file
    ending in .jsonl or .ndjson every line is an object whose `field` is a document.

    Args:
        data: "python_docs", a file, a folder (read at any depth), a glob, or a set of TensorFlow Datasets.
        field: what holds the text in JSON lines and in a set's examples.
        encoding: of the files.
        data_dir: where TensorFlow Datasets keeps its prepared sets; None is its own default.
        split: of a set of TensorFlow Datasets.

    Raises:
        UserError: there is nothing of that name, or no text in it. Reading raises it where a file is not what it should
            be, and names the file and the place.
    """
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise UserError(f"--encoding {encoding} is not known; utf-8, latin-1 and utf-16, for example, are.") from None
    if data == PYTHON_DOCS:
        return Corpus(data, (data, platform.python_version()), _python_docs)
    path = Path(data).expanduser()
    if not path.exists() and is_available(str(data), data_dir):
        return _find_set(data, field, data_dir, split)
    files = _find_files(data, path)
    identity = (field, encoding, [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files])
    read = functools.partial(_read_files, data, files, field, encoding)
    return Corpus(str(data), identity, read, sum(file.stat().st_size for file in files))


def _find_files(data, path):
    if path.is_dir():
        hits = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not hits:
            raise UserError(
                f"--data {data} holds no text; expected files ending in {', '.join(SUFFIXES)}, at any depth."
            )
        return hits
    hits = [path] if path.is_file() else sorted(Path(hit) for hit in glob.glob(str(path), recursive=True))
    hits = [hit for hit in hits if hit.is_file()]
    if not hits:
        raise UserError(
            f"--data {data}: there is no such file, folder or pattern, and no set of that name; python_docs needs no "
            f"files{nearest(str(data), [PYTHON_DOCS])}"
        )
    return hits


def _read_files(data, files, field, encoding):
    found = False
    for file in files:
        read = _json_lines if file.suffix.lower() in JSON_LINES else _blocks
        for document in read(file, field, encoding):
            found = True
            yield document
    if not found:
        raise UserError(f"--data {data} holds no text: {len(files)} file{'s' * (len(files) > 1)}, all empty.")


def _blocks(file, _, encoding):
    """Yields what stands between blank lines, or the lines where the beginning of the file has none."""
    parted = seen = 0
    for line in read_lines(file, encoding):
        seen += len(line)
        parted = not line.strip() and seen > len(line)
        if parted or seen > AT_MOST:
            break
    lines = read_lines(file, encoding)
    return _paragraphs(lines) if parted else filter(None, map(str.strip, lines))


def _paragraphs(lines):
    block, size = [], 0
    for line in lines:
        if (not line.strip() or size > AT_MOST) and block:
            yield "".join(block).strip()
            block, size = [], 0
        if line.strip():
            block.append(line)
            size += len(line)
    if block:
        yield "".join(block).strip()


def _json_lines(file, field, encoding):
    for where, row in read_json_lines(file, encoding):
        if field not in row:
            raise UserError(f"{where} has no {field}; it has {', '.join(row)}: choose by --field.")
        if not isinstance(row[field], str):
            raise UserError(f"{where}: {field} must be a text; received {row[field]!r:.40}.")
        if row[field].strip():
            yield row[field].strip().encode("utf-8", "replace").decode("utf-8")  # JSON can spell half of a character


def read_json_lines(file, encoding):
    """Yields for every line of a file that is not empty where it stands, in words, and the object that it holds."""
    for number, line in enumerate(read_lines(file, encoding, cut=False), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{file}, line {number}, is no JSON object: {error.msg}.") from error
            if not isinstance(row, dict):
                raise UserError(f"{file}, line {number}, is no JSON object; expected one in every line.")
            yield f"{file}, line {number},", row


def read_lines(file, encoding, cut=True):
    """Yields the lines of a file; raises `UserError` with the place of what is no text.

    Args:
        file: the path.
        encoding: of the file.
        cut: whether to cut lines after `AT_MOST` characters.
    """
    encoding = codecs.lookup(encoding).name
    try:
        with open(file, encoding="utf-8-sig" if encoding == "utf-8" else encoding) as lines:
            while line := lines.readline(AT_MOST if cut else -1):
                if "\0" in line:
                    raise UserError(f"{file} is no text file: it holds zero bytes.")
                yield line
    except UnicodeError as error:
        place, value = _undecodable(file, encoding)
        raise UserError(
            f"{file} is not {encoding}: byte {place} is {value}; name its encoding by --encoding, such as latin-1."
        ) from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error


def _undecodable(file, encoding):
    """Returns the place of the first byte, counted from 0, that an encoding cannot have there, and its value in hex."""
    decoder = codecs.getincrementaldecoder(encoding)()
    before, data = 0, b""
    with open(file, "rb") as chunks:
        while True:
            rest, chunk = decoder.getstate()[0], chunks.read(2**20)
            data = rest + chunk
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return before - len(rest) + error.start, f"0x{data[error.start]:02x}"
            except UnicodeError:  # a mark of the byte order that is missing, say
                return before, "wrong"
            before += len(chunk)


def _find_set(name, field, data_dir, split):
    builder, directory = load_builder(name, data_dir)
    features = builder.info.features or {}
    if field not in features:
        raise UserError(f"{name} has no feature {field}; it has {', '.join(features)}: choose by --field.")
    if split not in builder.info.splits:
        return None

    def read():
        import tensorflow_datasets as tfds

        # A set whose one example is a whole book is parted like a file.
        is_book = builder.info.splits[split].num_examples == 1
        for example in tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)):
            text = example[field].decode("utf-8", "replace").strip()
            yield from _paragraphs(text.splitlines(keepends=True)) if is_book else filter(None, [text])

    return Corpus(str(name), (name, split, field, *read_identity(directory)), read, is_set=True)


def _python_docs():
    """Yields the topics of the language reference and the docstrings of the standard library: English prose."""
    from pydoc_data.topics import topics

    yield from filter(None, (_prose(topics[name]) for name in sorted(topics)))
    library = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(library.rglob("*.py")):
        if not {"site-packages", "dist-packages", "test", "tests"} & set(file.relative_to(library).parts):
            yield from _docstrings(file)


def _docstrings(file):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes in other people's strings
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):  # templates that are no Python, files that cannot be read
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = _prose(ast.get_docstring(node) or "")
            if len(text.split()) >= 8:
                yield text


def _prose(text):
    """Returns the lines of a text that are no lines drawn with signs and no input to the interpreter."""
    lines = (line for line in text.splitlines() if not line.strip() or any(map(str.isalpha, line)))
    return "\n".join(line for line in lines if not line.lstrip().startswith((">>>", "... "))).strip()
