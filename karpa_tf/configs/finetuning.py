"""Flags of fine-tuning a pretrained encoder, for every task on labeled texts."""

import dataclasses

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.labeled import LabeledConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.run import require_positive
from karpa_tf.configs.transfer import FreezeConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class FinetuningConfig(LabeledConfig):
    """Pretrained model and optimizer."""

    learning_rate: float = 2e-4
    """Peak learning rate; 1e-3 suits narrow models, BERT-Base needs 2e-5 to 5e-5."""

    init: str | None = None
    """Run folder of a pretrained masked language model, folder with a BERT of Hugging Face or KerasHub, or preset of
    KerasHub, whose encoder and vocabulary are used."""

    scratch: bool = False
    """Use the architecture and vocabulary of --init with new weights, to measure what pretraining gains."""

    encoding: str = "utf-8"
    """Encoding of the files."""

    sequence_length: int | None = None
    """Tokens that the model sees at once, including [CLS] and [SEP]; None is the model's maximum."""

    max_windows: int = 64
    """Number of windows from which on a text is truncated all the same; the memory of a step grows with the number of
    windows in its batch."""

    optimization: OptimizerConfig = OptimizerConfig(
        optimizer="adamw", weight_decay=0.01, schedule="one_cycle", warmup_fraction=0.1, global_clipnorm=1.0
    )
    """Optimizer and schedule."""

    freezing: FreezeConfig = FreezeConfig()
    """How gently pretrained weights are fine-tuned."""

    model: BERTConfig = BERTConfig()
    """Size of the model: that of --init, except for --dropout."""

    def __post_init__(self):
        super().__post_init__()
        if self.scratch and self.freezing.freeze != "none":
            raise UserError("--freeze and --scratch exclude each other: new weights are not worth keeping.")
        if self.sequence_length is not None and self.sequence_length < 3:
            raise UserError(f"--sequence-length must be at least 3; received {self.sequence_length}.")
        require_positive("max_windows", self.max_windows)

    @property
    def row_length(self):
        """Tokens that the model sees at once."""
        return self.sequence_length or self.model.max_sequence_length

    @property
    def max_tokens(self):
        """Tokens that are read of a text, in windows that overlap by a quarter."""
        return self.row_length + (self.max_windows - 1) * (self.row_length - self.row_length // 4)
