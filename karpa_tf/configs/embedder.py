"""Flags of contrastive fine-tuning of a pretrained encoder: embeddings are near for texts that belong together."""

import dataclasses
from typing import Literal

from karpa_tf.configs.finetuning import FinetuningConfig
from karpa_tf.configs.run import require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class EmbedderConfig(FinetuningConfig):
    """Data of texts, or of pairs of texts, and what is contrasted."""

    name: str = "embedder"
    """Name of the run folder and of the exported model."""

    data: str = "data"
    """With --pair-field a .tsv, .csv or .jsonl file of pairs, or a folder with train.tsv (.csv, .jsonl), and optionally
    validation.tsv and test.tsv. Without it texts: a table, a text file, a folder or a glob of text files, a .jsonl
    file, or python_docs (Python's own documentation)."""

    text_field: str | None = None
    """Column of the text, or field of JSON lines; None finds it by its name, or takes the first column of a table
    without header."""

    pair_field: str | None = None
    """Column of the text that belongs to it, such as the answer to a question or the text under a title; None trains on
    texts alone."""

    positives: Literal["crops", "dropout"] = "crops"
    """What belongs together if texts come alone: two random parts of a text (Izacard et al. 2022), or the same text
    with two masks of dropout (Gao et al. 2021)."""

    documents: Literal["auto", "lines", "paragraphs", "files"] = "auto"
    """What is a text of a text file. auto: its paragraphs if there are blank lines; otherwise the whole file, if it is
    one of several and no longer than a million characters, or each of its lines."""

    temperature: float = 0.05
    """What similarities, in [-1, 1], are divided by before the softmax over the texts of a batch."""

    def __post_init__(self):
        super().__post_init__()
        require_positive("temperature", self.temperature)
        if self.label_smoothing or self.class_weights != "none":
            raise UserError("--label-smoothing and --class-weights need classes, which embeddings have not.")
        if self.freezing.freeze != "none":
            raise UserError("--freeze leaves nothing to train: the encoder is the whole model; see --layer-decay.")
        if self.optimization.gradient_accumulation_steps > 1:
            raise UserError(
                "--gradient-accumulation-steps cannot be used here: texts are contrasted with those of the whole batch."
            )
        if self.jit == "on":
            raise UserError("--jit on cannot be used here: XLA would compile for each length of texts anew.")
        if self.batch_size < 2:
            raise UserError("--batch-size must be at least 2: texts are contrasted with the others of the batch.")
        if self.contrasts_dropout and not self.model.dropout:
            raise UserError("--positives dropout needs --dropout above 0: otherwise both embeddings are the same.")

    @property
    def contrasts_dropout(self):
        """Whether both embeddings are of the same text."""
        return self.positives == "dropout" and self.pair_field is None


PRESETS = {
    "default": EmbedderConfig(epochs=3, batch_size=64, learning_rate=1e-3),
    "smoke": EmbedderConfig(epochs=1, batch_size=8, learning_rate=1e-3),
}
