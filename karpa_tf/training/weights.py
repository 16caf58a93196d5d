"""Which of a run's weights are used."""

import dataclasses
import json
import re
import tempfile
from pathlib import Path

import h5py

from karpa_tf.errors import UserError
from karpa_tf.system.files import digest
from karpa_tf.training import checkpoints


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of a run."""

    file: Path
    """Where they are."""

    kind: str
    """best: of the epoch with the lowest validation loss; last: of the newest checkpoint; ema: their moving average."""

    averaged: bool
    """Whether they are a moving average of the weights that were trained."""

    step: int | None = None
    """Steps after which they were saved, where that is known."""

    epoch: int | None = None
    """Epochs after which they were saved, None in the midst of one."""

    def load(self, model):
        """Brings them into a model of the network that the run has trained."""
        if self.file.name != "trainer.weights.h5":
            model.load_weights(self.file)
            return
        with tempfile.TemporaryDirectory() as folder:
            alone = Path(folder, "network.weights.h5")
            with h5py.File(self.file) as trainer, h5py.File(alone, "w") as network:
                for name, item in _trained(trainer).items():
                    trainer.copy(item, network, name)
            model.load_weights(alone)

    def metadata(self):
        """Returns what a card says of them."""
        values = {"kind": self.kind, "step": self.step, "epoch": self.epoch, "moving_average": self.averaged}
        return {key: value for key, value in values.items() if value is not None} | {"description": str(self)}

    def __str__(self):
        when = f"epoch {self.epoch}" if self.epoch else f"step {self.step}"
        place = "the best" if self.kind == "best" else "the newest"
        return f"{when}, {place}" + (", as a moving average" if self.averaged else "")


def find_weights(run, kind=None):
    """Returns the `Weights` of a `Run` that are to be used, or None where there is no checkpoint yet.

    Args:
        run: a `Run`.
        kind: "best", "last" or "ema", as in `Weights`; None takes the best where the run stops early, else what the
            newest whole checkpoint has: the moving average where the run keeps one.

    Raises:
        UserError: the run has no such weights, or those of the best epoch are damaged.
    """
    config = run.read_config()
    keeps_average = bool(config.get("ema") or (config.get("optimization") or {}).get("ema"))
    record = run.checkpoints / "best.json"
    if kind == "best" and not record.exists():
        raise UserError(f"--best: {run.path} has no best epoch; only runs that validate after every epoch have one.")
    if kind == "ema" and not keeps_average:
        raise UserError(f"--ema: {run.path} keeps no moving average; only runs with --ema above 0 do.")
    if kind == "best" or (kind is None and config.get("early_stopping") and record.exists()):
        return _best(run, record, keeps_average)
    saved = checkpoints.list_checkpoints(run.checkpoints) if run.checkpoints.is_dir() else []
    newest = next((path for path in reversed(saved) if checkpoints.damage(path, run) is None), None)
    if newest is None:
        return None
    step, epoch = re.fullmatch(r"step-(\d+)(?:-epoch-(\d+))?", newest.name).groups()
    averaged = keeps_average and kind != "last"
    name = "trainer" if keeps_average and not averaged else "exported"
    return Weights(
        newest / f"{name}.weights.h5",
        "ema" if averaged else "last",
        averaged,
        int(step),
        int(epoch) if epoch else None,
    )


def _best(run, record, averaged):
    weights, best = run.checkpoints / "best.weights.h5", json.loads(record.read_text())
    if not weights.exists() or best["sha256"] != digest(weights):
        raise UserError(f"{weights} is damaged; without {record} the newest epoch's weights are taken instead.")
    return Weights(weights, "best", averaged, epoch=best["epoch"])


def _trained(trainer):
    """Returns the part of a trainer's weights that is the network it trains; the other is the average of it."""
    for name in ("generator", "network"):
        if name in trainer:
            return trainer[name]
    (network,) = trainer["layers"].values()  # Keras' own list of a trainer's parts comes before our names.
    return network
