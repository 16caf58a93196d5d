"""Flags of masked-language-model pretraining."""

import dataclasses
from typing import Literal

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.run import RunConfig, require_share
from karpa_tf.errors import UserError

SMALLEST_VOCABULARY = 6
"""The five special tokens, and one."""


@dataclasses.dataclass(frozen=True)
class MaskedLMConfig(RunConfig):
    """Data, masks, optimizer and network."""

    data: str = "python_docs"
    """python_docs (Python's own documentation), a text file, a folder of them, a glob, a .jsonl file, or a set of
    TensorFlow Datasets. Blank lines part documents; where there are none, line ends do."""

    validation_data: str | None = None
    """Held-out text, named as for --data; None holds out --held-out-share of the documents, or takes the validation
    split of a set of TensorFlow Datasets."""

    held_out_share: float = 0.05
    """Share of the documents that is held out."""

    field: str = "text"
    """What holds the text in JSON lines and in a set's examples."""

    encoding: str = "utf-8"
    """Encoding of the files."""

    init: str | None = None
    """A run folder of this program, to go on from its weights, with its vocabulary, on other text."""

    vocabulary: str | None = None
    """A vocabulary.txt of an earlier run; None learns one from the text."""

    vocabulary_size: int = 8000
    """Tokens of the vocabulary to learn, the five special ones included."""

    lowercase: bool = True
    """Lower-case all letters."""

    strip_accents: bool | None = None
    """Take accents off letters; None does as --lowercase says."""

    sequence_length: int | None = None
    """Tokens in a row, [CLS] and [SEP] included; None is the model's --length."""

    mask_rate: float = 0.15
    """Share of the tokens to guess; 80 % of them become [MASK], 10 % another token, 10 % stay."""

    mask_units: Literal["tokens", "words", "spans"] = "tokens"
    """What is hidden at once: single tokens, whole words, or spans of up to ten tokens."""

    nsp: bool = False
    """Learn too whether the second half of a row follows the first (next-sentence prediction), as BERT did."""

    optimization: OptimizerConfig = OptimizerConfig(
        optimizer="adamw", weight_decay=0.01, schedule="one_cycle", warmup_share=0.1, clip_norm=1.0
    )
    """How weights move."""

    model: BERTConfig = BERTConfig()
    """Shape of the network."""

    def __post_init__(self):
        super().__post_init__()
        require_share("held_out_share", self.held_out_share)
        if not 0 < self.mask_rate < 1:
            raise UserError(f"--mask-rate must be above 0 and below 1; received {self.mask_rate}.")
        if self.vocabulary_size < SMALLEST_VOCABULARY:
            raise UserError(
                f"--vocabulary-size must be at least {SMALLEST_VOCABULARY}; received {self.vocabulary_size}."
            )
        if not 8 <= self.row_length <= self.model.length:
            raise UserError(
                f"--sequence-length must be from 8 to the model's --length, {self.model.length}; "
                f"received {self.row_length}."
            )

    @property
    def row_length(self):
        """Tokens in a row."""
        return self.sequence_length or self.model.length
