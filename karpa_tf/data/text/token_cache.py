"""Tokenized documents, cached on disk and memory-mapped, so that a corpus can be larger than memory."""

import dataclasses
import hashlib
import itertools
import json

import numpy as np

from karpa_tf.data.cache import cache_folder, compute_fingerprint
from karpa_tf.data.text import vocabulary as vocabularies
from karpa_tf.system.console import track

CHARACTERS_PER_BATCH = 2**20
"""Minimum size of a batch of documents that is tokenized in parallel."""

MAX_TRAINING_BYTES = 10**8
"""The vocabulary of a larger corpus is trained on every second, third, ... document."""


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Concatenated token ids of documents, each followed by [SEP]."""

    ids: np.ndarray
    """uint16 or uint32 (n,), memory-mapped."""

    num_documents: int

    counts: np.ndarray
    """int64 (vocabulary,), number of occurrences of each token, without the [SEP] after each document."""

    fingerprint: str
    """Changes when the ids do."""

    def __len__(self):
        return len(self.ids)


def load_cached_vocabulary(corpus, size, lowercase, strip_accents, cache_dir=None):
    """Returns the `Vocabulary` of a `Corpus` from the cache, or trains it; arguments as for `train_vocabulary`."""
    key = compute_fingerprint(corpus.identity, size, lowercase, strip_accents)

    def train(folder):
        stride = -(-(corpus.size or 0) // MAX_TRAINING_BYTES) or 1
        vocabulary = vocabularies.train_vocabulary(_Subset(corpus, stride), size, lowercase, strip_accents)
        vocabulary.save(folder / "vocabulary.txt")

    folder = cache_folder(f"vocabulary-{key}", train, cache_dir)
    return vocabularies.load(folder / "vocabulary.txt")


class _Subset:
    """Iterable over every `stride`-th document of a corpus."""

    def __init__(self, corpus, stride):
        self.corpus, self.stride = corpus, stride

    def __iter__(self):
        return itertools.islice(track(self.corpus.read(), "Training the vocabulary"), 0, None, self.stride)


def load_cached_tokens(corpus, vocabulary, held_out_fraction=0.0, cache_dir=None):
    """Returns the `Tokens` of a `Corpus` for training and the held-out ones, tokenized or from the cache.

    Which documents are held out depends only on their text, not on a seed or on the other documents; equal documents
    are in the same split. Special tokens such as [MASK] are not recognized in the text.

    Args:
        corpus: a `Corpus`.
        vocabulary: a `Vocabulary`.
        held_out_fraction: fraction of the documents to hold out, in [0, 1).
        cache_dir: folder of the cache; None is the default.
    """
    settings = (vocabulary.tokens, vocabulary.lowercase, vocabulary.strip_accents)
    key = compute_fingerprint(corpus.identity, settings, held_out_fraction)
    folder = cache_folder(
        f"tokens-{key}", lambda folder: _tokenize(folder, corpus, vocabulary, held_out_fraction), cache_dir
    )
    record = json.loads((folder / "tokens.json").read_text())
    return tuple(
        Tokens(
            np.memmap(folder / f"{name}.bin", record["dtype"], "r") if sum(counts) else np.zeros(0, record["dtype"]),
            num_documents,
            np.array(counts),
            digest,
        )
        for name, (num_documents, counts, digest) in record["parts"].items()
    )


def _tokenize(folder, corpus, vocabulary, held_out_fraction):
    dtype = np.uint16 if len(vocabulary) <= 2**16 else np.uint32
    files = [_TokenFile(folder / f"{name}.bin", dtype, vocabulary) for name in ("train", "held_out")]
    tokenizer = vocabulary.make_tokenizer()
    for documents in _make_batches(track(corpus.read(), "Tokenizing")):
        encodings = tokenizer.encode_batch_fast(documents, add_special_tokens=False)
        for document, encoding in zip(documents, encodings, strict=True):
            files[is_held_out(document, held_out_fraction)].add(encoding.ids)
    splits = {file.path.stem: (file.num_documents, *file.close()) for file in files}
    (folder / "tokens.json").write_text(json.dumps({"dtype": np.dtype(dtype).name, "parts": splits}))


class _TokenFile:
    """Writes the token ids of a split and counts its documents and tokens."""

    def __init__(self, path, dtype, vocabulary):
        self.path, self.stream, self.dtype = path, open(path, "wb"), dtype
        self.sep_id = vocabulary.tokens.index(vocabularies.SEP)
        self.num_documents, self.counts, self.hash = 0, np.zeros(len(vocabulary), np.int64), hashlib.sha256()

    def add(self, ids):
        if ids:
            self.num_documents += 1
            np.add.at(self.counts, ids, 1)
            content = np.array([*ids, self.sep_id], self.dtype).tobytes()
            self.stream.write(content)
            self.hash.update(content)

    def close(self):
        """Returns the list of the number of occurrences of each token, and a fingerprint of the ids."""
        self.stream.close()
        return self.counts.tolist(), self.hash.hexdigest()[:16]


def _make_batches(documents):
    batch, size = [], 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size > CHARACTERS_PER_BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def is_held_out(document, fraction):
    """Returns whether a document, a string, is held out if a fraction of all documents, in [0, 1), is held out."""
    number = int.from_bytes(hashlib.sha256(f"held out {document}".encode("utf-8", "replace")).digest()[:8])
    return number < fraction * 2**64
