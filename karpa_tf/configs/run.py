"""Flags of all training programs: one name and one meaning for each."""

import dataclasses
import re
from pathlib import Path
from typing import Literal

from karpa_tf.errors import UserError

NOT_SAVED = ("run", "resume", "profile", "dry_run", "verbose")
"""Fields left out of `config.yaml`, which repeats the run: they say where to run and how much to print."""

MAY_CHANGE = (
    *("data", "data_dir", "validation_data", "cache_dir", "image_cache"),
    *("init", "init_weights", "vocabulary", "features"),
    *("name", "export_dir", "keep_versions", "allow_incompatible", "baseline"),
    *("strategy", "jit", "save_steps", "save_minutes", "keep_checkpoints"),
)
"""Fields that may differ when a run is resumed: they do not change what is trained.

Data, features and pretrained weights are compared by their content; that of cached files is not that of cached pixels.
"""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Flags of every training program."""

    name: str = "model"
    """Name of the run folder and of the exported model; the default is made of the preset and of --data."""

    data: str = "digits"
    """Name of a data set, or a folder."""

    data_dir: str | None = None
    """Folder of data sets prepared by TensorFlow Datasets; None is ~/tensorflow_datasets."""

    cache_dir: str | None = None
    """Folder in which images and tokens are cached; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    epochs: int = 1
    """Passes over the training data."""

    batch_size: int = 64
    """Global batch size: examples per step over all replicas."""

    learning_rate: float = 2e-4
    """Learning rate of the optimizer; the peak where there is a schedule."""

    seed: int = 0
    """Random seed of initial weights, data order, augmentation and noise."""

    run: str | None = None
    """Run folder; None is runs/<app>/<time>-<name>. A folder that holds the same run is resumed."""

    resume: Literal["auto", "never"] = "auto"
    """What to do if the run folder exists: resume the run, or move the folder aside and start again."""

    save_minutes: float = 5.0
    """Minutes between checkpoints within an epoch; 0 turns them off. Every epoch ends with a checkpoint."""

    save_steps: int = 0
    """Steps between checkpoints within an epoch; 0 turns them off."""

    keep_checkpoints: int = 3
    """Number of newest checkpoints to keep, besides the weights of the best epoch."""

    log_every: int = 20
    """Steps between two rows of metrics.csv."""

    export_dir: str = "saved_models"
    """The SavedModel is written to <export-dir>/<name>/<version>."""

    keep_versions: int = 0
    """Number of newest versions of the SavedModel to keep; 0 keeps all."""

    allow_incompatible: bool = False
    """Export even if the classes, vocabulary or signatures differ from those of the newest version of this name."""

    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras dtype policy. auto is mixed_bfloat16 where the hardware supports it and results were measured to be as
    good, otherwise float32; a resumed run keeps its precision."""

    strategy: Literal["auto", "none", "mirrored", "multiworker", "tpu"] = "auto"
    """Devices to train on. auto: all workers named by TF_CONFIG or Slurm, otherwise all GPUs of this machine; none: one
    device; mirrored: all devices of this machine; multiworker: all workers; tpu: untested."""

    jit: Literal["auto", "on", "off"] = "auto"
    """Compile the training step with XLA; auto does so on a single GPU."""

    deterministic: bool = False
    """Make runs with the same seed bit-identical; somewhat slower."""

    profile: bool = False
    """Trace a few steps of the first epoch for TensorBoard and summarize them in profile/summary.md."""

    dry_run: bool = False
    """Load the data, build the models, print what would be done, and write nothing."""

    verbose: bool = False
    """Show TensorFlow's log messages."""

    def __post_init__(self):
        for field in ("epochs", "batch_size", "learning_rate", "keep_checkpoints", "log_every"):
            require_positive(field, getattr(self, field))
        for field in ("save_minutes", "save_steps", "keep_versions"):
            require_not_negative(field, getattr(self, field))
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must be from 0 to 2147483647; received {self.seed}.")
        require_plain_name(self.name)


def require_positive(field, value):
    """Raises `UserError` unless `value` is a finite number above 0; NaN is refused too."""
    if not 0 < value < float("inf"):
        raise UserError(f"{flag(field)} must be above 0; received {value}.")


def require_fraction(field, value):
    """Raises `UserError` unless `value` is at least 0 and below 1; NaN is refused too."""
    if not 0 <= value < 1:
        raise UserError(f"{flag(field)} must be at least 0 and below 1; received {value}.")


def require_not_negative(field, value):
    """Raises `UserError` unless `value` is a finite number of at least 0; NaN is refused too."""
    if not 0 <= value < float("inf"):
        raise UserError(f"{flag(field)} must be at least 0; received {value}.")


def require_plain_name(name):
    """Raises `UserError` unless `--name` can be the name of a visible folder."""
    if not name or any(character in name for character in "/\\\0") or name.startswith("."):
        raise UserError(f"--name must be a plain folder name; received {name!r}.")


def adapt_name(name, data, other):
    """Returns the default `--name` for other data than the preset's: resnet_images becomes resnet_flowers.

    Args:
        name: name of the preset.
        data: its data.
        other: name of a data set, or a path, of which the last part with a letter or digit is used.
    """
    parts = reversed(Path(other).expanduser().absolute().parts)
    words = (re.sub(r"\W+", "_", re.sub(r"(?<=.)\.[A-Za-z]+$", "", part)).strip("_")[:60] for part in parts)
    word = next(filter(None, words), "data")
    return name.replace(f"_{data}", f"_{word}") if f"_{data}" in name else f"{name}_{word}"


def flag(field):
    """Returns the flag of a config field: `batch_size` is `--batch-size`."""
    return "--" + field.replace("_", "-")


def from_dict(config_class, values):
    """Returns the config that a dict of plain values, such as a `config.yaml`, describes.

    Args:
        config_class: a config dataclass.
        values: dict of numbers, strings, lists and dicts.

    Raises:
        UserError: the dict has an entry that the class lacks.
    """
    fields = {field.name: field.type for field in dataclasses.fields(config_class)}
    unknown = sorted(values.keys() - fields.keys())
    if unknown:
        raise UserError(
            f"The config of this run has the entry {unknown[0]}, which {config_class.__name__} does not know: it was "
            "written by another version of karpa_tf. Train the model again, or use that version."
        )
    arguments = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(fields[name]):
            value = from_dict(fields[name], value)
        arguments[name] = tuple(value) if isinstance(value, list) else value
    return config_class(**arguments)
