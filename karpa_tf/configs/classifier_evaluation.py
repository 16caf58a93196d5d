"""Flags of evaluating an image classifier."""

import dataclasses
from pathlib import Path
from typing import Literal

from karpa_tf.configs.evaluation import report_name


@dataclasses.dataclass(frozen=True)
class ClassifierEvaluationConfig:
    """The classifier and the images."""

    run: str | None = None
    """Run folder of a trained classifier."""

    saved_model: str | None = None
    """Folder of an exported version, instead of --run."""

    data: str | None = None
    """Name of a data set, or a folder with a folder of images per class; None is the data of the run."""

    split: Literal["test", "validation", "train"] = "test"
    """Split of the data; a folder without splits is used as a whole."""

    out: str | None = None
    """Folder for the report; None is eval/ in the run folder for the run's own test split, eval/<split> or eval/<data>
    for anything else, and eval/ in the current folder for --saved-model."""

    data_dir: str | None = None
    """Folder of data sets prepared by TensorFlow Datasets; None is ~/tensorflow_datasets."""

    cache_dir: str | None = None
    """Folder in which decoded images are cached; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    verbose: bool = False
    """Show TensorFlow's log messages."""

    def report_folder(self):
        """Returns the path of the folder of the report."""
        if self.out or self.saved_model:
            return Path(self.out or "eval")
        base = Path(self.run, "eval")
        if self.data:
            return base / report_name(self.data)
        return base if self.split == "test" else base / self.split
