"""Flags of masked-language-model pretraining."""

import dataclasses
import functools
from typing import Literal

from karpa_tf.configs import bert
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.run import RunConfig, require_fraction
from karpa_tf.errors import UserError

MIN_VOCABULARY_SIZE = 6
"""The five special tokens, and one more."""

MIN_SEQUENCE_LENGTH = 8


@dataclasses.dataclass(frozen=True)
class MaskedLMConfig(RunConfig):
    """Data, masking, optimizer and model."""

    data: str = "python_docs"
    """python_docs (Python's own documentation), a text file, a folder of text files, a glob, a .jsonl file, or a data
    set of TensorFlow Datasets."""

    documents: Literal["auto", "lines", "paragraphs", "files"] = "auto"
    """What is a document of a text file. auto: its paragraphs if there are blank lines; otherwise the whole file, if it
    is one of several and no longer than a million characters, or each of its lines."""

    validation_data: str | None = None
    """Held-out text, specified as for --data; None holds out --held-out-fraction of the documents, or uses the
    validation split of a data set of TensorFlow Datasets."""

    held_out_fraction: float = 0.05
    """Fraction of the documents that is held out."""

    field: str = "text"
    """Name of the text field in JSON lines and in the examples of a data set."""

    encoding: str = "utf-8"
    """Encoding of the files."""

    init: str | None = None
    """A run folder of this program, a folder with a BERT of Hugging Face or KerasHub, or a preset of KerasHub: continue
    pretraining from its sizes, weights and vocabulary, on other text. Published weights need the preset adapt."""

    vocabulary: str | None = None
    """vocabulary.txt of an earlier run; None trains a vocabulary on the text."""

    vocabulary_size: int = 8000
    """Size of the vocabulary to train, including the five special tokens."""

    lowercase: bool = True
    """Convert text to lowercase."""

    strip_accents: bool | None = None
    """Strip accents from letters; None does the same as --lowercase."""

    sequence_length: int | None = None
    """Tokens per sequence, including [CLS] and [SEP]; None is --max-sequence-length."""

    mask_rate: float = 0.15
    """Fraction of the tokens to predict: 80 % of them become [MASK], 10 % a random token, 10 % stay the same."""

    mask_units: Literal["tokens", "words", "spans"] = "tokens"
    """Mask single tokens, whole words, or spans of up to ten tokens."""

    nsp: bool = False
    """Train next-sentence prediction too, as BERT did: whether the second half of a sequence follows the first."""

    optimization: OptimizerConfig = OptimizerConfig(
        optimizer="adamw", weight_decay=0.01, schedule="one_cycle", warmup_fraction=0.1, global_clipnorm=1.0
    )
    """Optimizer and schedule."""

    model: bert.BERTConfig = bert.BERTConfig()
    """Size of the model."""

    def __post_init__(self):
        super().__post_init__()
        require_fraction("held_out_fraction", self.held_out_fraction)
        if not 0 < self.mask_rate < 1:
            raise UserError(f"--mask-rate must be above 0 and below 1; received {self.mask_rate}.")
        if self.vocabulary_size < MIN_VOCABULARY_SIZE:
            raise UserError(
                f"--vocabulary-size must be at least {MIN_VOCABULARY_SIZE}; received {self.vocabulary_size}."
            )
        if self.row_length < MIN_SEQUENCE_LENGTH:
            raise UserError(f"--sequence-length must be at least {MIN_SEQUENCE_LENGTH}; received {self.row_length}.")
        self.model.require_length(self.row_length)

    @property
    def row_length(self):
        """Tokens per sequence."""
        return self.sequence_length or self.model.max_sequence_length

    @property
    def network(self):
        """The `BERTConfig` to build: with --nsp there are at least two segments."""
        num_segments = max(self.model.num_segments, 2 if self.nsp else 0)
        return dataclasses.replace(self.model, num_segments=num_segments)


@dataclasses.dataclass(frozen=True)
class AdaptationConfig(MaskedLMConfig):
    """Settings that are of no use for new weights: --init must be given."""


# Trains faster than BERT's post-norm and learned positions; a short run needs no dropout.
_easy = functools.partial(dataclasses.replace, normalize_first=True, position_embedding="rotary", dropout=0.0)

_ADAMW = MaskedLMConfig(epochs=12, batch_size=32)


def _with_muon(name, learning_rate, adam_learning_rate, vocabulary_size, model):
    """Returns a preset with Muon and AdamW's schedule; docs/results.md compares both."""
    muon = {"optimizer": "muon", "weight_decay": 0.0, "adam_learning_rate": adam_learning_rate}
    optimization = dataclasses.replace(_ADAMW.optimization, **muon)
    changes = {"learning_rate": learning_rate, "vocabulary_size": vocabulary_size, "model": _easy(model)}
    return dataclasses.replace(_ADAMW, name=name, optimization=optimization, **changes)


_TINY = _with_muon("bert_tiny", 0.04, 0.016, 4000, bert.TINY)
_SMOKE = bert.BERTConfig(max_sequence_length=32, hidden_dim=16, num_layers=1, num_heads=2, intermediate_dim=32)

PRESETS = {
    "tiny": dataclasses.replace(_TINY, mask_rate=0.4),
    "smoke": dataclasses.replace(_TINY, name="bert_smoke", epochs=1, vocabulary_size=600, model=_easy(_SMOKE)),
    "mini": _with_muon("bert_mini", 0.03, 0.008, 8000, bert.MINI),
    "small": dataclasses.replace(
        _ADAMW, name="bert_small", epochs=8, learning_rate=1e-3, vocabulary_size=8000, model=_easy(bert.SMALL)
    ),
    "base": dataclasses.replace(
        _ADAMW,
        name="bert_base",
        epochs=40,
        batch_size=256,
        learning_rate=1e-4,
        vocabulary_size=30_522,
        optimization=dataclasses.replace(_ADAMW.optimization, gradient_accumulation_steps=8),
        model=bert.BASE,
    ),
    "adapt": AdaptationConfig(name="bert_adapted", epochs=3, batch_size=32, learning_rate=3e-5),
}
