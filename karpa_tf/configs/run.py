"""What every training program can be told: one name and one meaning for each flag."""

import dataclasses
from typing import Literal

from karpa_tf.errors import UserError

NOT_REPEATED = ("run", "resume", "profile", "dry_run", "verbose")
"""Fields that say where and how loudly, not what: left out of `config.yaml`, so that it repeats the run."""

MAY_CHANGE = ("cache_dir", "strategy", "jit", "save_steps", "save_minutes", "keep", "keep_versions")
"""Fields in which two starts of one run may differ: they say on what it runs and what is kept, not what is learned."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Flags that all training programs share."""

    name: str = "model"
    """Names the run folder and the exported model."""

    data: str = "digits"
    """A known data set, or a folder."""

    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its prepared sets; None is ~/tensorflow_datasets."""

    cache_dir: str | None = None
    """Where decoded pictures and tokens are kept for the next start; None is $KARPA_CACHE, or ~/.cache/karpa_tf."""

    epochs: int = 1
    """Passes over the data."""

    batch_size: int = 64
    """Examples in one step, over all replicas."""

    learning_rate: float = 2e-4
    """Step size of the optimizer."""

    seed: int = 0
    """Decides initial weights, order of the data and noise."""

    run: str | None = None
    """Run folder; None makes runs/<app>/<time>-<name>. A folder that holds the same run is continued."""

    resume: Literal["auto", "never"] = "auto"
    """What to do with a run folder that exists: continue it, or move it aside and begin anew."""

    save_minutes: float = 5.0
    """Minutes between two checkpoints within an epoch; 0 saves none by the clock. Each epoch ends with one."""

    save_steps: int = 0
    """Steps between two checkpoints; 0 saves none by their number."""

    keep: int = 3
    """Newest checkpoints to keep; the best epoch's weights are kept besides."""

    log_every: int = 20
    """Steps between two rows of metrics.csv."""

    export_dir: str = "saved_models"
    """The SavedModel is written to <export-dir>/<name>/<version>."""

    keep_versions: int = 0
    """Newest versions of the SavedModel to keep there; 0 keeps all."""

    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras' dtype policy; auto takes mixed_bfloat16 where the hardware has it and results were measured to be as good,
    or else float32, and a run that is gone on with keeps its own."""

    strategy: Literal["auto", "none", "mirrored", "multiworker", "tpu"] = "auto"
    """Devices to train on: auto takes all workers that TF_CONFIG or Slurm names, or else every GPU of this machine;
    none one device; mirrored all of this machine; multiworker all workers; tpu is untested."""

    jit: Literal["auto", "on", "off"] = "auto"
    """Compile the step with XLA; auto does so on a single GPU."""

    deterministic: bool = False
    """Same seed, same weights, to the bit; somewhat slower."""

    profile: bool = False
    """Trace a few steps of the first epoch for TensorBoard, and write profile/summary.md: where their time went."""

    dry_run: bool = False
    """Load the data, build the models, say what would be done, and write nothing."""

    verbose: bool = False
    """Show TensorFlow's own messages."""

    def __post_init__(self):
        for field in ("epochs", "batch_size", "learning_rate", "keep", "log_every"):
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


def require_share(field, value):
    """Raises `UserError` unless `value` is at least 0 and below 1; NaN is refused too."""
    if not 0 <= value < 1:
        raise UserError(f"{flag(field)} must be at least 0 and below 1; received {value}.")


def require_not_negative(field, value):
    """Raises `UserError` unless `value` is a finite number of at least 0; NaN is refused too."""
    if not 0 <= value < float("inf"):
        raise UserError(f"{flag(field)} must be at least 0; received {value}.")


def require_plain_name(name):
    """Raises `UserError` unless `--name` can name a folder that listings show."""
    if not name or any(character in name for character in "/\\\0") or name.startswith("."):
        raise UserError(f"--name must be a plain folder name; received {name!r}.")


def flag(field):
    """Returns the flag of a config field: `batch_size` is `--batch-size`."""
    return "--" + field.replace("_", "-")


def from_plain(kind, values):
    """Returns the config of class `kind` that a mapping of names, numbers, lists and mappings describes.

    Raises:
        UserError: the mapping has an entry that the class lacks.
    """
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    unknown = sorted(values.keys() - fields.keys())
    if unknown:
        raise UserError(f"There is no {unknown[0]} in {kind.__name__}; was it written by another version?")
    arguments = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(fields[name]):
            value = from_plain(fields[name], value)
        arguments[name] = tuple(value) if isinstance(value, list) else value
    return kind(**arguments)
