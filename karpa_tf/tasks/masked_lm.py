"""Masked language models: the text that they learn from, and what is in their run folders."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import keras

from karpa_tf.configs.masked_lm import MaskedLMConfig
from karpa_tf.configs.run import from_dict
from karpa_tf.data.text import vocabulary as vocabularies
from karpa_tf.data.text.batches import count_rows
from karpa_tf.data.text.corpus import find_corpus
from karpa_tf.data.text.token_cache import Tokens, is_held_out, load_cached_tokens, load_cached_vocabulary
from karpa_tf.errors import UserError
from karpa_tf.export import examples
from karpa_tf.export.masked_lm import make_masked_lm_export, masked_lm_functions
from karpa_tf.export.versions import load_version
from karpa_tf.models import bert
from karpa_tf.training.run import Run
from karpa_tf.training.weights import find_weights

VOCABULARY_FILE = "vocabulary.txt"
"""In a run folder."""

SENTENCE = 16
"""Words of a document that are kept as an example."""

SEARCHED = 10_000
"""Documents among which examples are looked for."""


@dataclasses.dataclass(frozen=True)
class TextData:
    """What a masked language model learns from."""

    vocabulary: vocabularies.Vocabulary
    """Of both parts."""

    train: Tokens
    """The text to learn from."""

    held_out: Tokens
    """The text to measure on; it may be empty."""

    documents: Callable[[], Iterator[str]]
    """Returns an iterator of some documents to measure on, or to learn from where nothing is held out."""

    def sentences(self):
        """Returns the beginnings of a few documents, a list."""
        words = (document.split() for document in itertools.islice(self.documents(), examples.COUNT))
        return [" ".join(some[:SENTENCE]) for some in words]

    def summary(self):
        """Returns a line for people."""
        parts = [f"{len(part):,} tokens of {part.documents:,} documents" for part in (self.train, self.held_out)]
        return f"{parts[0]}, held out {parts[1]}; {len(self.vocabulary):,} tokens in the vocabulary"

    def metadata(self):
        """Returns what `run.json` says of the data."""
        parts = {"train": self.train, "held_out": self.held_out}
        return {
            name: {"fingerprint": part.fingerprint, "tokens": len(part), "documents": part.documents}
            for name, part in parts.items()
        }


def load_text(config):
    """Returns the `TextData` of a `MaskedLMConfig`; what has been brought to tokens before is read from the cache.

    The vocabulary is that of the run that is continued, of --init, of --vocabulary, or learned from the text.

    Raises:
        UserError: there is no such text or vocabulary, or the text is too little for the vocabulary or for a batch.
    """
    find = functools.partial(find_corpus, field=config.field, encoding=config.encoding, data_dir=config.data_dir)
    corpus = find(config.data)
    if corpus is None:
        raise UserError(f"--data {config.data} has no training split.")
    held_out_corpus = find(config.validation_data) if config.validation_data else None
    if not config.validation_data and corpus.is_set:
        held_out_corpus = find(config.data, split="validation")
    vocabulary = _given_vocabulary(config)
    if vocabulary is None:
        strip_accents = config.lowercase if config.strip_accents is None else config.strip_accents
        vocabulary = load_cached_vocabulary(
            corpus, config.vocabulary_size, config.lowercase, strip_accents, config.cache_dir
        )
    share = 0.0 if held_out_corpus else config.held_out_fraction
    train, held_out = load_cached_tokens(corpus, vocabulary, share, config.cache_dir)
    if held_out_corpus:
        held_out, _ = load_cached_tokens(held_out_corpus, vocabulary, 0.0, config.cache_dir)
    if count_rows(train, config.row_length) < config.batch_size:
        raise UserError(
            f"--data {config.data} has {count_rows(train, config.row_length):,} rows of {config.row_length} tokens, "
            f"fewer than --batch-size {config.batch_size}; lower that or --sequence-length, or take more text."
        )
    documents = functools.partial(_documents, held_out_corpus or corpus, share if len(held_out) else 0.0)
    return TextData(vocabulary, train, held_out, documents)


def _documents(corpus, share):
    """Yields the first documents of a corpus, or those of them that are in the share that is held out."""
    some = itertools.islice(corpus.read(), SEARCHED)
    return (document for document in some if not share or is_held_out(document, share))


def _given_vocabulary(config):
    """Returns the `Vocabulary` that a config names, or None."""
    if config.run and config.resume == "auto" and (Path(config.run) / VOCABULARY_FILE).exists():
        return vocabularies.load(Path(config.run) / VOCABULARY_FILE)
    if config.vocabulary:
        return vocabularies.load(config.vocabulary)
    return load_vocabulary(read_masked_lm(config.init, "--init")[0]) if config.init else None


def read_masked_lm(path, flag="--run"):
    """Returns the `Run` of train_mlm in a folder and its config; raises `UserError` if it holds none.

    Args:
        path: the folder.
        flag: what named it.
    """
    run = Run(path)
    if run.metadata().get("app") != "train_mlm":
        raise UserError(f"{flag} {path} holds no run of train_mlm.")
    return run, from_dict(MaskedLMConfig, run.read_config())


def load_vocabulary(run):
    """Returns the `Vocabulary` of a `Run`."""
    return vocabularies.load(run.path / VOCABULARY_FILE)


def load_pretrained(path, flag="--run", precision="float32"):
    """Returns the model of a run of train_mlm, that of `make_network`, its `Vocabulary` and its config.

    The weights are those of the newest checkpoint.

    Args:
        path: the run folder.
        flag: what named it.
        precision: Keras' dtype policy to compute in, whatever the model was trained in.
    """
    model, vocabulary, config, _ = _load(path, flag, precision)
    return model, vocabulary, config


def make_export(run, kind=None):
    """Returns the `Export` of a `Run` of train_mlm and its `Weights`, of a kind as for `find_weights`."""
    model, vocabulary, config, weights = _load(run.path, kind=kind)
    return make_masked_lm_export(model, vocabulary, config.row_length, examples.load_texts(run)), weights


def _load(path, flag="--run", precision="float32", kind=None):
    run, config = read_masked_lm(path, flag)
    vocabulary = load_vocabulary(run)
    weights = find_weights(run, kind)
    if not weights:
        raise UserError(f"{flag} {path} has no checkpoint yet.")
    keras.config.set_dtype_policy(precision)
    model = make_network(config, len(vocabulary))
    weights.load(model)
    return model, vocabulary, config, weights


def make_network(config, vocabulary_size):
    """Returns the model that a `MaskedLMConfig` trains: `make_masked_lm`'s, or with --nsp `make_pretraining`'s."""
    shape = network_shape(config)
    make = bert.make_pretraining if config.nsp else bert.make_masked_lm
    return make(shape, bert.make_encoder(shape, vocabulary_size))


def network_shape(config):
    """Returns the `BERTConfig` of a `MaskedLMConfig`: with --nsp there are two segments at least."""
    return dataclasses.replace(config.model, num_segments=max(config.model.num_segments, 2 if config.nsp else 0))


def load_init_weights(model, vocabulary, config):
    """Brings the weights of the run that `--init` names into a new model of the same shape.

    Raises:
        UserError: there is no such run, or its network is another.
    """
    learned, words, other = load_pretrained(config.init, "--init", config.precision)
    if words != vocabulary:
        raise UserError(f"--init {config.init} has a vocabulary of its own; leave out --vocabulary.")
    differing = [
        f"{field.name} {getattr(other.model, field.name)}, not {getattr(config.model, field.name)}"
        for field in dataclasses.fields(other.model)
        if field.name != "dropout" and getattr(other.model, field.name) != getattr(config.model, field.name)
    ]
    if other.nsp != config.nsp:
        differing.append("another --nsp")
    if differing:
        raise UserError(f"--init {config.init} has another network: {'; '.join(differing)}.")
    model.set_weights(learned.get_weights())


def load_fill_mask(run, saved_model):
    """Returns what fills blanks, as `make_masked_lm_export` describes it: from text, string (batch,), to a dict.

    Args:
        run: folder of a run of train_mlm, or None.
        saved_model: folder of an exported version, in place of `run`.
    """
    if run:
        model, vocabulary, config = load_pretrained(run)
        functions, _ = masked_lm_functions(model, vocabulary, config.row_length)
        return functions["serving_default"]
    signatures = load_version(saved_model)
    if "token_ids" not in signatures or "tokens" not in signatures["serving_default"].structured_outputs:
        raise UserError(f"The SavedModel fills no blanks; its signatures are {', '.join(signatures)}.")
    return lambda text: signatures["serving_default"](text=text)
