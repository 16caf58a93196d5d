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

    token_column: int | None = None
    """Column of the tokens, counted from 1; None is the first one, or the second one if the first one numbers them."""

    def __post_init__(self):
        super().__post_init__()
        for field in ("tag_column", "token_column"):
            if getattr(self, field) is not None:
                require_positive(field, getattr(self, field))
        if self.jit == "on":
            raise UserError("--jit on cannot be used here: XLA would compile for each length of texts anew.")


PRESETS = {
    "default": TaggerConfig(epochs=10, batch_size=32, learning_rate=1e-3),
    "smoke": TaggerConfig(epochs=1, batch_size=8, learning_rate=1e-3),
}
