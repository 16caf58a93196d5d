"""Saves and restores everything a run needs to go on: weights, averages, both optimizers, random states."""

import json
import re
import shutil

import keras
import numpy as np

from karpa_tf.configs.errors import diverged
from karpa_tf.files import published_folder


class Checkpoint(keras.callbacks.Callback):
    """Saves the trainer at the end of each epoch, and keeps the newest few.

    Args:
        directory: the run's `checkpoints` folder.
        steps_per_epoch: number of steps that `fit` makes in one epoch.
        keep: number of checkpoints to keep.
    """

    def __init__(self, directory, steps_per_epoch, keep=2):
        super().__init__()
        self.directory = directory
        self.steps_per_epoch = steps_per_epoch
        self.keep = keep

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        save(self.model, self.directory / f"epoch-{done:05d}", {"epoch": done, "step": done * self.steps_per_epoch})
        for old in list_checkpoints(self.directory)[: -self.keep]:
            shutil.rmtree(old)


def save(trainer, path, state):
    """Writes a checkpoint folder that appears whole or not at all.

    Args:
        trainer: `keras.Model` with a model `exported`; every layer, optimizer and seed generator it holds is saved.
        path: the folder to make.
        state: dict for `state.json`, of numbers.

    Raises:
        UserError: a weight is not finite; nothing is written.
    """
    broken = [weight.path for weight in trainer.weights if not np.isfinite(weight.numpy()).all()]
    if broken:
        raise diverged(f"At step {state['step']} the weights of {broken[0]} are not finite", latest(path.parent))
    with published_folder(path) as folder:
        trainer.save_weights(folder / "trainer.weights.h5")
        trainer.exported.save_weights(folder / "exported.weights.h5")
        np.savez(folder / "random_states.npz", *[variable.numpy() for variable in _random_states(trainer)])
        (folder / "state.json").write_text(json.dumps(state))


def restore(trainer, path):
    """Brings a compiled trainer back to where it was saved and returns the state that was saved with it."""
    trainer.load_weights(path / "trainer.weights.h5")
    with np.load(path / "random_states.npz") as states:
        for variable, state in zip(_random_states(trainer), states.values(), strict=True):
            variable.assign(state)
    return json.loads((path / "state.json").read_text())


def restore_latest(trainer, directory):
    """Brings a compiled trainer to its newest checkpoint, if any, and returns the state: `epoch` and `step`."""
    checkpoint = latest(directory)
    return restore(trainer, checkpoint) if checkpoint else {"epoch": 0, "step": 0}


def exported_weights(directory):
    """Returns the file of the weights to use: those of the best epoch, if one was kept, or the newest; or None."""
    checkpoint = latest(directory)
    best = directory / "best.weights.h5"
    return best if best.exists() else checkpoint and checkpoint / "exported.weights.h5"


def list_checkpoints(directory):
    """Returns the checkpoint folders, oldest first."""
    return sorted(path for path in directory.iterdir() if re.fullmatch(r"epoch-\d+", path.name))


def latest(directory):
    """Returns the newest checkpoint folder, or None."""
    return next(reversed(list_checkpoints(directory)), None) if directory.is_dir() else None


def _random_states(trainer):
    """Returns the states of the seed generators (dropout's, say), which Keras 3.15's `save_weights` leaves out."""
    others = {id(variable) for variable in [*trainer.weights, *trainer.metrics_variables]}
    return [variable for variable in trainer.variables if id(variable) not in others]
