"""The text of a pretraining run: a vocabulary, and documents tokenized for training and for evaluation."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator

from karpa_tf.data.text.batches import count_rows
from karpa_tf.data.text.corpus import find_corpus
from karpa_tf.data.text.token_cache import Tokens, is_held_out, load_cached_tokens, load_cached_vocabulary
from karpa_tf.data.text.vocabulary import UNK, Vocabulary
from karpa_tf.errors import UserError
from karpa_tf.system.console import warn

EXAMPLE_WORDS = 16
"""Number of words of an example text."""

MAX_UNKNOWN, MANY_UNKNOWN = 0.5, 0.05
"""Fractions of unknown tokens in a text from which it is refused, and from which there is a warning."""

MAX_EXAMPLE_DOCUMENTS = 10_000
"""Number of documents at the beginning of a corpus from which examples are selected."""


@dataclasses.dataclass(frozen=True)
class PretrainingText:
    """Tokenized text and its vocabulary."""

    vocabulary: Vocabulary

    train: Tokens

    held_out: Tokens
    """Text for evaluation; may be empty."""

    read_example_documents: Callable[[], Iterator[str]]
    """Returns an iterator over held-out documents, or over training documents if none are held out."""

    def select_examples(self, count):
        """Returns a list of up to `count` strings: the first `EXAMPLE_WORDS` words of documents."""
        documents = itertools.islice(self.read_example_documents(), count)
        return [" ".join(document.split()[:EXAMPLE_WORDS]) for document in documents]

    def summary(self):
        """Returns a line with the numbers of tokens and documents and the size of the vocabulary."""
        train, held_out = (
            f"{len(split):,} tokens of {split.num_documents:,} documents" for split in (self.train, self.held_out)
        )
        return f"{train}, held out {held_out}; vocabulary of {len(self.vocabulary):,} tokens"

    def metadata(self):
        """Returns a dict for `run.json`."""
        splits = {"train": self.train, "held_out": self.held_out}
        return {
            name: {"fingerprint": split.fingerprint, "tokens": len(split), "documents": split.num_documents}
            for name, split in splits.items()
        }


def load_pretraining_text(config, vocabulary=None):
    """Returns the `PretrainingText` of a `MaskedLMConfig`, tokenized or from the cache.

    Args:
        config: a `MaskedLMConfig`.
        vocabulary: a `Vocabulary`, or None to train one on the text.

    Raises:
        UserError: the text does not exist, or is too short for the vocabulary or for a batch.
    """
    corpus = _find_corpus(config)
    if corpus is None:
        raise UserError(f"--data {config.data} has no training split.")
    held_out_corpus = _find_corpus(config, config.validation_data) if config.validation_data else None
    if not config.validation_data and corpus.is_tfds:
        held_out_corpus = _find_corpus(config, split="validation")
    if vocabulary is None:
        strip_accents = config.lowercase if config.strip_accents is None else config.strip_accents
        vocabulary = load_cached_vocabulary(
            corpus, config.vocabulary_size, config.lowercase, strip_accents, config.cache_dir
        )
    fraction = 0.0 if held_out_corpus else config.held_out_fraction
    train, held_out = load_cached_tokens(corpus, vocabulary, fraction, config.cache_dir)
    remedy = "which the model cannot learn; a vocabulary of this text would have fewer"
    _check_unknown(config.data, train, vocabulary, remedy)
    if held_out_corpus:
        held_out, _ = load_cached_tokens(held_out_corpus, vocabulary, 0.0, config.cache_dir)
    if count_rows(train, config.row_length) < config.batch_size:
        raise UserError(
            f"--data {config.data} has {count_rows(train, config.row_length):,} sequences of {config.row_length} "
            f"tokens, fewer than --batch-size {config.batch_size}; lower that or --sequence-length, or use more text."
        )
    read_examples = functools.partial(_read_examples, held_out_corpus or corpus, fraction if len(held_out) else 0.0)
    return PretrainingText(vocabulary, train, held_out, read_examples)


def load_evaluation_text(config, vocabulary, own=None):
    """Returns the `Tokens` to evaluate a model on, and the token counts of a unigram baseline, int (vocabulary,).

    Args:
        config: a `MaskedLMConfig`.
        vocabulary: the `Vocabulary` of the model.
        own: what `PretrainingText.metadata` says about the text of the run with this config: what it has held out is
            used, and the counts are of the text that the model was trained on. None is all documents of `config.data`,
            or those of the test or validation split of a data set of TensorFlow Datasets, and their own counts.

    Raises:
        UserError: the text does not exist, is empty, or has changed.
    """
    if own is not None:
        text = load_pretraining_text(config, vocabulary)
        if any(text.metadata()[name]["fingerprint"] != own[name]["fingerprint"] for name in ("train", "held_out")):
            raise UserError(f"{config.data} has changed since this run was trained; give --data to use all of it.")
        if not len(text.held_out):
            raise UserError("The run has held out no text; give --data.")
        tokens, counts = text.held_out, text.train.counts
    else:
        splits = (_find_corpus(config, split=split) for split in ("test", "validation"))
        corpus = next((corpus for corpus in splits if corpus is not None), None)
        if corpus is None:
            raise UserError(f"--data {config.data} has no test or validation split.")
        tokens, _ = load_cached_tokens(corpus, vocabulary, 0.0, config.cache_dir)
        _check_unknown(config.data, tokens, vocabulary, "which are left out of the evaluation")
        counts = tokens.counts
    if not len(tokens):
        raise UserError(f"--data {config.data} has no text to evaluate on.")
    return tokens, counts


def _find_corpus(config, data=None, split="train"):
    """Returns the `Corpus` of a `MaskedLMConfig`, or None if there is no such split; `data` is used instead of its."""
    options = {"field": config.field, "encoding": config.encoding, "documents": config.documents}
    return find_corpus(data or config.data, data_dir=config.data_dir, split=split, **options)


def _check_unknown(data, tokens, vocabulary, consequence):
    """Warns of many tokens that are unknown; raises `UserError` for so many that there is nothing to predict."""
    fraction = tokens.counts[vocabulary.tokens.index(UNK)] / max(tokens.counts.sum(), 1)
    message = f"--data {data}: {fraction:.0%} of the tokens are {UNK}"
    if fraction > MAX_UNKNOWN:
        raise UserError(
            f"{message}: its words are not in the vocabulary, or longer than 100 characters; expected words that are "
            "separated by spaces, and a vocabulary of the same language."
        )
    if fraction > MANY_UNKNOWN:
        warn(f"{message}, {consequence}.")


def _read_examples(corpus, fraction):
    """Yields the first documents of a corpus or, if `fraction` is not 0, those of them that are held out."""
    documents = itertools.islice(corpus.read(), MAX_EXAMPLE_DOCUMENTS)
    return (document for document in documents if not fraction or is_held_out(document, fraction))
