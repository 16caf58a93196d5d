"""Flags of fine-tuning a pretrained encoder for text classification."""

import dataclasses
from typing import Literal

from karpa_tf.configs.finetuning import FinetuningConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class TextClassifierConfig(FinetuningConfig):
    """Data of labeled texts, and how long ones are read."""

    name: str = "text_classifier"
    """Name of the run folder and of the exported model."""

    data: str = "data"
    """A .tsv, .csv or .jsonl file of texts and labels; or a folder with train.tsv (.csv, .jsonl), and optionally
    validation.tsv (valid, val, dev) and test.tsv; or a folder with a folder of text files per class."""

    text_field: str | None = None
    """Column of the text; None finds it by its name, or takes the first column of a table without header."""

    label_field: str | None = None
    """Column of the label; None finds it by its name, or takes the last column of a table without header."""

    pair_field: str | None = None
    """Column of a second text, for pairs such as a premise and a hypothesis, or a question and an answer; None if there
    is none. Pairs are truncated, the longer text first, whatever --long-texts says."""

    regression: bool = False
    """Predict a number, such as a rating or a similarity, instead of a class; labels must be numbers."""

    long_texts: Literal["windows", "cut"] = "windows"
    """What to do with longer texts: read them in windows of --sequence-length, which overlap by a quarter, and average
    over all of them; or truncate them. Windows are not compiled by --jit auto."""

    ngrams: bool = True
    """After training, fit a logistic regression on n-grams of tokens, in seconds, and average it with the network in
    the report and the export, weighed by the validation split; for classes of single texts."""

    def __post_init__(self):
        super().__post_init__()
        if self.regression and (self.label_smoothing or self.class_weights != "none"):
            raise UserError("--label-smoothing and --class-weights need classes, which --regression has not.")
        if self.jit == "on" and self.long_texts == "windows":
            raise UserError("--jit on needs --long-texts cut: XLA must know the number of windows.")

    @property
    def reads_windows(self):
        """Whether long texts are read in windows; pairs of texts are not."""
        return self.long_texts == "windows" and self.pair_field is None

    @property
    def averages_ngrams(self):
        """Whether --ngrams is for this kind of task."""
        return self.ngrams and not self.regression and self.pair_field is None

    @property
    def max_tokens(self):
        return super().max_tokens if self.reads_windows else self.row_length


PRESETS = {
    "default": TextClassifierConfig(epochs=3, batch_size=32, learning_rate=1e-3),
    "regression": TextClassifierConfig(
        name="text_regressor", regression=True, epochs=3, batch_size=32, learning_rate=1e-3
    ),
    "smoke": TextClassifierConfig(epochs=1, batch_size=8, learning_rate=1e-3),
}
