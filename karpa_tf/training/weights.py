"""Which weights of a run are used."""

import dataclasses
import json
import re
from pathlib import Path

from karpa_tf.errors import UserError
from karpa_tf.system.console import warn
from karpa_tf.system.files import digest
from karpa_tf.training import checkpoints
from karpa_tf.training.callbacks.best_epoch import find_best_file


@dataclasses.dataclass(frozen=True)
class Weights:
    """A file of weights of a run, and where in the run they come from."""

    file: Path

    kind: str
    """best: of the epoch with the lowest validation loss; last: of the newest checkpoint; ema: their moving average."""

    averaged: bool
    """Whether they are a moving average of the trained weights."""

    step: int | None = None
    """Steps after which they were saved, if known."""

    epoch: int | None = None
    """Epochs after which they were saved, or None within an epoch."""

    def load(self, model):
        """Gives a model these weights; raises `UserError` if they are those of other networks."""
        try:
            model.load_weights(self.file)
        except ValueError as error:
            raise UserError(
                f"{self.file} does not have the weights of {model.name}; was it written by another version of karpa_tf?"
            ) from error

    def metadata(self):
        """Returns what a model card says about them, a dict."""
        values = {"kind": self.kind, "step": self.step, "epoch": self.epoch, "moving_average": self.averaged}
        return {key: value for key, value in values.items() if value is not None} | {"description": str(self)}

    def __str__(self):
        when = f"epoch {self.epoch}" if self.epoch else f"step {self.step}"
        return f"{when}, the {'best' if self.kind == 'best' else 'newest'}" + (
            ", as a moving average" if self.averaged else ""
        )


def copy_weights(model, pretrained, excluded=()):
    """Copies the weights of all layers of the same name, except for those `excluded`, from `pretrained` to `model`.

    Returns:
        Names of the layers of `model` that keep their own weights.
    """
    layers, kept = {layer.name: layer for layer in pretrained.layers}, []
    for layer in model.layers:
        if layer.weights and layer.name in layers and layer.name not in excluded:
            layer.set_weights(layers[layer.name].get_weights())
        elif layer.weights:
            kept.append(layer.name)
    return kept


def find_weights(run, kind=None):
    """Returns the `Weights` of a `Run` to use, or None if there is no checkpoint yet.

    Args:
        run: a `Run`.
        kind: "best", "last" or "ema", as in `Weights`. None is the best if the run uses early stopping or looks for
            the best epoch of a GAN, otherwise the newest intact checkpoint: the moving average if the run keeps one.

    Raises:
        UserError: the run has no such weights, or those of the best epoch are damaged.
    """
    return _find(run, kind)[0]


def require_weights(run, kind=None, flag="--run"):
    """Returns what `find_weights` does, and warns if newer checkpoints are damaged.

    Raises:
        UserError: as `find_weights`; or, naming `flag`, there is no checkpoint yet, or all of them are damaged.
    """
    weights, damage = _find(run, kind)
    if weights is None and damage:
        raise UserError(f"{flag} {run.path} has no intact checkpoint: the newest of {len(damage)}, {damage[0]}.")
    if weights is None:
        raise UserError(f"{flag} {run.path} has no checkpoint yet; one is written after every epoch at the latest.")
    if damage:
        used = f"epoch {weights.epoch}" if weights.epoch else f"step {weights.step}"
        warn(f"The newest checkpoint, {damage[0]}; that of {used} is used instead.")
    return weights


def _find(run, kind):
    """Returns the `Weights`, or None, and what is wrong with each checkpoint that is newer."""
    config = run.read_config()
    keeps_average = bool(config.get("ema") or (config.get("optimization") or {}).get("ema"))
    record = run.checkpoints / "best.json"
    if kind == "best" and not record.exists():
        raise UserError(f"--best: {run.path} has no best epoch; only runs that validate after every epoch have one.")
    if kind == "ema" and not keeps_average:
        raise UserError(f"--ema: {run.path} keeps no moving average; only runs with --ema above 0 do.")
    uses_best = config.get("early_stopping") or config.get("evaluate_every")
    if kind == "best" or (kind is None and uses_best and record.exists()):
        return _find_best(record, keeps_average), []
    newest, damage = _find_newest(run)
    if newest is None:
        return None, damage
    step, epoch = re.fullmatch(r"step-(\d+)(?:-epoch-(\d+))?", newest.name).groups()
    averaged = keeps_average and kind != "last"
    file = newest / (checkpoints.NETWORK if keeps_average and not averaged else checkpoints.EXPORTED)
    kind = "ema" if averaged else "last"
    return Weights(file, kind, averaged, int(step), int(epoch) if epoch else None), damage


def _find_newest(run):
    """Returns the newest intact checkpoint folder, or None, and what is wrong with each newer one."""
    damage = []
    for path in reversed(checkpoints.list_checkpoints(run.checkpoints) if run.checkpoints.is_dir() else []):
        problem = checkpoints.find_damage(path, run)
        if problem is None:
            return path, damage
        damage.append(f"{path}, {problem}")
    return None, damage


def _find_best(record, averaged):
    weights, best = find_best_file(record), json.loads(record.read_text())
    if not weights.exists() or best["sha256"] != digest(weights):
        raise UserError(f"{weights} is damaged; remove {record} to use the weights of the newest epoch instead.")
    return Weights(weights, "best", averaged, epoch=best["epoch"])
