"""Flags of evaluating a masked language model."""

import dataclasses
from pathlib import Path
from typing import Literal

from karpa_tf.configs.evaluation import report_name
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class MaskedLMEvaluationConfig:
    """The model, the text, and how it is masked."""

    run: str | None = None
    """Run folder of a pretrained masked language model."""

    data: str | None = None
    """A text file, a folder of text files, a glob, a .jsonl file, or a data set of TensorFlow Datasets, whose test or
    validation split is used; None is the text that the run has held out."""

    documents: Literal["auto", "lines", "paragraphs", "files"] = "auto"
    """What is a document of a text file of --data, as for train_mlm."""

    field: str = "text"
    """Name of the text field in JSON lines and in the examples of a data set."""

    encoding: str = "utf-8"
    """Encoding of the files of --data."""

    mask_rate: float | None = None
    """Fraction of the tokens to predict; None is that of the run."""

    mask_units: Literal["tokens", "words", "spans"] | None = None
    """Mask single tokens, whole words, or spans of up to ten tokens; None is what the run does."""

    out: str | None = None
    """Folder for the report; None is eval/held_out or eval/<data> in the run folder, followed by the masks if they are
    not those of the run."""

    data_dir: str | None = None
    """Folder of data sets prepared by TensorFlow Datasets; None is that of the run."""

    cache_dir: str | None = None
    """Folder in which tokens are cached; None is that of the run."""

    verbose: bool = False
    """Show TensorFlow's log messages."""

    def apply(self, config):
        """Returns the `MaskedLMConfig` of a run with what these flags change.

        Raises:
            UserError: the result is invalid, or flags are about --data, which is not given.
        """
        names = ["mask_rate", "mask_units", "data_dir", "cache_dir"]
        changes = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.data:
            names = ["data", "documents", "field", "encoding"]
            changes |= {name: getattr(self, name) for name in names} | {"validation_data": None}
        elif (self.documents, self.field, self.encoding) != ("auto", "text", "utf-8"):
            raise UserError("--documents, --field and --encoding are of --data; give that too.")
        return dataclasses.replace(config, **changes)

    def describe(self, config):
        """Returns what a report says about the text and its masks, a dict; `config` is that of the run."""
        changed = self.apply(config)
        data = self.data or f"held out of {config.validation_data or config.data}"
        return {"data": data, "mask_rate": changed.mask_rate, "mask_units": changed.mask_units}

    def report_folder(self, base, config):
        """Returns the path of the folder of the report.

        Args:
            base: folder of the run's own report.
            config: the `MaskedLMConfig` of the run.
        """
        if self.out:
            return Path(self.out)
        changed, name = self.apply(config), report_name(self.data) if self.data else "held_out"
        is_own = (changed.mask_rate, changed.mask_units) == (config.mask_rate, config.mask_units)
        return base / (name if is_own else f"{name}_{changed.mask_rate:g}_{changed.mask_units}")
