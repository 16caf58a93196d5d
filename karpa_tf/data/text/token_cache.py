"""Documents as numbers, made once and mapped from disk, so that a corpus larger than memory can be trained on."""

import contextlib
import dataclasses
import hashlib
import itertools
import json

import numpy as np

from karpa_tf.data.cache import compute_fingerprint, get_cache_dir
from karpa_tf.data.text import vocabulary as vocabularies
from karpa_tf.errors import UserError
from karpa_tf.system.console import track
from karpa_tf.system.files import publish_folder

AT_ONCE = 2**20
"""Characters that are brought to tokens in one go, on all cores."""

SAMPLE = 10**8
"""Bytes of a corpus from which a vocabulary is learned; of a larger one every second, third, ... document is taken."""


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Documents one after the other, each followed by [SEP]."""

    ids: np.ndarray
    """uint16 or uint32 (n,), mapped from disk."""

    documents: int
    """How many."""

    counts: np.ndarray
    """int64 (vocabulary,), how often each token comes, [SEP] left out."""

    fingerprint: str
    """Changes when the ids do."""

    def __len__(self):
        return len(self.ids)


def load_cached_vocabulary(corpus, size, lowercase, strip_accents, cache_dir=None):
    """Returns the `Vocabulary` that is learned from a `Corpus`, or that was; arguments as for `train_vocabulary`."""
    key = compute_fingerprint(corpus.identity, size, lowercase, strip_accents)
    folder = get_cache_dir(cache_dir) / f"vocabulary-{key}"
    if not folder.exists():
        stride = -(-(corpus.size or 0) // SAMPLE) or 1
        learned = vocabularies.train_vocabulary(_Again(corpus, stride), size, lowercase, strip_accents)
        with _written(folder, cache_dir) as temporary:
            learned.save(temporary / "vocabulary.txt")
    return vocabularies.load(folder / "vocabulary.txt")


class _Again:
    """Every `stride`-th document of a corpus, as often as they are asked for."""

    def __init__(self, corpus, stride):
        self.corpus, self.stride = corpus, stride

    def __iter__(self):
        return itertools.islice(track(self.corpus.read(), "Learning the vocabulary"), 0, None, self.stride)


def load_cached_tokens(corpus, vocabulary, held_out_fraction=0.0, cache_dir=None):
    """Returns the `Tokens` of a `Corpus` in two parts: to learn from, and held out.

    Which documents are held out depends on their text alone: not on a seed, their order or their number, and two that
    are alike are in one part. A written [MASK] or [SEP] is ordinary text.

    Args:
        corpus: a `Corpus`.
        vocabulary: a `Vocabulary`.
        held_out_fraction: share of the documents to hold out, in [0, 1).
        cache_dir: where the files are kept; None is the default.
    """
    settings = (vocabulary.tokens, vocabulary.lowercase, vocabulary.strip_accents)
    key = compute_fingerprint(corpus.identity, settings, held_out_fraction)
    folder = get_cache_dir(cache_dir) / f"tokens-{key}"
    if not folder.exists():
        with _written(folder, cache_dir) as temporary:
            _write(temporary, corpus, vocabulary, held_out_fraction)
    record = json.loads((folder / "tokens.json").read_text())
    return tuple(
        Tokens(
            np.memmap(folder / f"{part}.bin", record["dtype"], "r") if sum(counts) else np.zeros(0, record["dtype"]),
            documents,
            np.array(counts),
            f"{key}-{part}",
        )
        for part, (documents, counts) in record["parts"].items()
    )


def _write(folder, corpus, vocabulary, held_out_fraction):
    dtype = np.uint16 if len(vocabulary) <= 2**16 else np.uint32
    parts = [_Part(folder / f"{name}.bin", dtype, vocabulary) for name in ("train", "held_out")]
    tokenizer = vocabulary.tokenizer()
    for documents in _in_batches(track(corpus.read(), "Splitting text into tokens")):
        pieces = tokenizer.encode_batch_fast(documents, add_special_tokens=False)
        for document, found in zip(documents, pieces, strict=True):
            parts[is_held_out(document, held_out_fraction)].add(found.ids)
    record = {part.file.name.removesuffix(".bin"): (part.documents, part.close()) for part in parts}
    (folder / "tokens.json").write_text(json.dumps({"dtype": np.dtype(dtype).name, "parts": record}))


class _Part:
    def __init__(self, file, dtype, vocabulary):
        self.file, self.stream, self.dtype = file, open(file, "wb"), dtype
        self.end = vocabulary.tokens.index(vocabularies.SEP)
        self.documents, self.counts = 0, np.zeros(len(vocabulary), np.int64)

    def add(self, ids):
        if ids:
            self.documents += 1
            np.add.at(self.counts, ids, 1)
            self.stream.write(np.array([*ids, self.end], self.dtype).tobytes())

    def close(self):
        self.stream.close()
        return self.counts.tolist()


def _in_batches(documents):
    batch, size = [], 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size > AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def is_held_out(document, share):
    """Returns whether a document belongs to the share of the documents that is held out."""
    number = int.from_bytes(hashlib.sha256(f"held out {document}".encode("utf-8", "replace")).digest()[:8])
    return number < share * 2**64


@contextlib.contextmanager
def _written(folder, cache_dir):
    try:
        with publish_folder(folder) as temporary:
            yield temporary
    except OSError as error:
        raise UserError(f"Tokens cannot be kept in {folder.parent} ({error}); choose another --cache-dir.") from error
