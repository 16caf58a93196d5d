"""Flags of fine-tuning a pretrained encoder for marking spans of text: named entities, or other tags of words."""

import dataclasses

from karpa_tf.configs.finetuning import FinetuningConfig
from karpa_tf.configs.run import require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class TaggerConfig(FinetuningConfig):
    """Data of texts with spans."""

    name: str = "tagger"
    """Name of the run folder and of the exported model."""

    data: str = "data"
    """A file with a token and its tag per line and blank lines between sentences (CoNLL), or a .jsonl file of texts
    with spans or of tokens with tags; or a folder with such files for training, and optionally for validation and
    testing: train.conll, eng.testa, test.jsonl."""

    tag_column: int | None = None
    """Column of the tags in files of columns, counted from 1; None is the last one."""

    def __post_init__(self):
        super().__post_init__()
        if self.tag_column is not None:
            require_positive("tag_column", self.tag_column)
        if self.jit == "on":
            raise UserError("--jit on cannot be used here: XLA must know the number of windows of a text.")


PRESETS = {
    "default": TaggerConfig(epochs=10, batch_size=32, learning_rate=1e-3),
    "smoke": TaggerConfig(epochs=1, batch_size=8, learning_rate=1e-3),
}
