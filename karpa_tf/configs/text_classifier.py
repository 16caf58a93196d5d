"""Flags of the program that tunes a pretrained encoder to tell texts apart."""

import dataclasses

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.labelled import LabelledConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.transfer import FreezeConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class TextClassifierConfig(LabelledConfig):
    """Data, what to start from, and how weights move."""

    name: str = "text_classifier"
    """Names the run folder and the exported model."""

    learning_rate: float = 2e-4
    """Step size of the optimizer; 1e-3 suits narrow networks, BERT-Base wants 2e-5 to 5e-5."""

    data: str = "data"
    """A .tsv, .csv or .jsonl file of texts and classes; or a folder with train.tsv (.csv, .jsonl), and validation.tsv
    (valid, val, dev) and test.tsv if there are any; or one with a folder of text files per class."""

    init: str | None = None
    """A run folder of train_mlm: its network, vocabulary and weights are what is tuned."""

    scratch: bool = False
    """Take the network and the vocabulary of --init and new weights, to see what pretraining is worth."""

    text_field: str | None = None
    """Column of the text; None finds it by its name, or takes the first of a table without names."""

    label_field: str | None = None
    """Column of the class; None finds it by its name, or takes the last of a table without names."""

    encoding: str = "utf-8"
    """Encoding of the files."""

    sequence_length: int | None = None
    """Longest text, in tokens, [CLS] and [SEP] included; longer ones are cut. None is the model's length."""

    optimization: OptimizerConfig = OptimizerConfig(
        optimizer="adamw", weight_decay=0.01, schedule="one_cycle", warmup_share=0.1, clip_norm=1.0
    )
    """How weights move."""

    freezing: FreezeConfig = FreezeConfig()
    """How gently what was learned is changed."""

    model: BERTConfig = BERTConfig()
    """Shape of the network: that of --init, but for --dropout."""

    def __post_init__(self):
        super().__post_init__()
        if self.scratch and self.freezing.freeze != "none":
            raise UserError("--freeze and --scratch exclude each other: there is nothing learned yet to keep.")
        if self.sequence_length is not None and self.sequence_length < 3:
            raise UserError(f"--sequence-length must be at least 3; received {self.sequence_length}.")
