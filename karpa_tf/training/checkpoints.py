"""Saves and restores everything a run needs to go on: weights, averages, optimizers, random states, and its state."""

import dataclasses
import json
import re
import shutil
import time

import keras
import numpy as np

from karpa_tf.distribution import collectives as workers
from karpa_tf.errors import Stopped, UserError, diverged, first_line
from karpa_tf.system.files import digest, publish_folder, require_room

CHECKSUMS = "checksums.json"
SAVE, STOP = 1, 2


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """Where a run stands."""

    step: int = 0
    """Steps made since its start: the position in the data."""

    closed: bool = True
    """False after the last step of an epoch whose validation and reports are still to come."""

    metrics: tuple = ()
    """What the trainer's metrics have summed up of the unfinished epoch, a list of arrays."""

    callbacks: dict = dataclasses.field(default_factory=dict)
    """What callbacks have to remember, by their class's name."""


class Checkpoint(keras.callbacks.Callback):
    """Saves the trainer every so often, after each epoch, and when the program is asked to stop; the last callback.

    Args:
        run: a `Run`.
        config: a `RunConfig`; `save_steps`, `save_minutes` and `keep` are used.
        steps_per_epoch: number of steps in one epoch.
        state: where this start begins.
        stop: a `StopSignals`; once it has received one the trainer is saved after the step, and `Stopped` is raised.
        remembering: callbacks with a `get_state`, which returns what JSON can hold.
    """

    def __init__(self, run, config, steps_per_epoch, state, stop, remembering=()):
        super().__init__()
        self.run, self.config, self.steps_per_epoch, self.stop = run, config, steps_per_epoch, stop
        self.step, self.remembering = state.step, remembering

    def on_train_begin(self, logs=None):
        self.saved_at = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        is_last = self.step % self.steps_per_epoch == 0
        if is_last:
            self.metrics = self._metrics()  # validation uses the same
        asked = self._asked()
        if asked == STOP:
            self._save(closed=not is_last)
            self._end()
        if asked == SAVE and not is_last:
            self._save()

    def on_test_batch_end(self, batch, logs=None):
        if self._asked() == STOP:
            self._save(closed=False, metrics=self.metrics)
            self._end()

    def on_epoch_end(self, epoch, logs=None):
        self._save(metrics=())
        if self._asked() == STOP:
            self._end()

    def _asked(self):
        """Returns what one of the workers, at least, has been asked for: nothing (0), to save, or to stop."""
        steps, seconds = self.config.save_steps, 60 * self.config.save_minutes
        is_due = (steps and self.step % steps == 0) or (seconds and time.monotonic() - self.saved_at >= seconds)
        return workers.all_reduce_max(STOP if self.stop.received else SAVE if is_due else 0)

    def _metrics(self):
        return [variable.numpy() for variable in self.model.metrics_variables]

    def _save(self, closed=True, metrics=None):
        remembered = {type(callback).__name__: callback.get_state() for callback in self.remembering}
        state = TrainingState(self.step, closed, self._metrics() if metrics is None else metrics, remembered)
        if self.run.writes:
            save(self.model, self.run, state, self.steps_per_epoch)
            for old in list_checkpoints(self.run.checkpoints)[: -self.config.keep_checkpoints]:
                shutil.rmtree(old)
        self.saved_at = time.monotonic()

    def _end(self):
        what = f"Stopped by {self.stop.received or 'a signal to another worker'} after step {self.step}."
        if self.run.writes:
            what += f" Nothing is lost: the same command goes on from {latest(self.run)}."
        raise Stopped(what)


def save(trainer, run, state, steps_per_epoch):
    """Writes a checkpoint folder that appears whole or not at all, and returns its path.

    Args:
        trainer: `keras.Model` with a model `exported`; every layer, optimizer and seed generator it holds is saved.
        run: the `Run` it belongs to.
        state: the `TrainingState` where the run stands.
        steps_per_epoch: number of steps in one epoch; at an epoch's end the name says so.

    Raises:
        UserError: a weight is not finite, or the disk is full; what was saved before is as it was.
    """
    broken = [weight.path for weight in trainer.weights if not np.isfinite(weight.numpy()).all()]
    if broken:
        raise diverged(f"At step {state.step} the weights of {broken[0]} are not finite", latest(run))
    name = f"step-{state.step:08d}"
    if state.closed and state.step % steps_per_epoch == 0:
        name += f"-epoch-{state.step // steps_per_epoch:05d}"
    try:
        with publish_folder(run.checkpoints / name) as folder:
            # Every weight with two moments, and what HDF5 writes around it: h5py 3.14 takes the process with it where a
            # disk is full in the midst of a file.
            require_room(folder, sum(3 * weight.numpy().nbytes + 8192 for weight in trainer.weights) + 2**16)
            trainer.save_weights(folder / "trainer.weights.h5")
            trainer.exported.save_weights(folder / "exported.weights.h5")
            np.savez(folder / "random_states.npz", *[variable.numpy() for variable in _random_states(trainer)])
            np.savez(folder / "metrics.npz", *state.metrics)
            record = {"run": run.metadata().get("id"), "step": state.step, "closed": state.closed}
            (folder / "state.json").write_text(json.dumps(record | {"callbacks": state.callbacks}))
            checksums = {path.name: digest(path) for path in sorted(folder.iterdir())}
            (folder / CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n")
    except (OSError, RuntimeError) as error:  # h5py raises either.
        kept = f"{newest} is whole" if (newest := latest(run)) else "there was none before"
        raise UserError(
            f"The checkpoint of step {state.step} cannot be written ({first_line(error)}); {kept}. "
            f"Make room in {run.checkpoints}, and the same command goes on from there."
        ) from error
    return run.checkpoints / name


def restore(trainer, path):
    """Brings a compiled trainer back to where it was saved and returns the `TrainingState`."""
    trainer.load_weights(path / "trainer.weights.h5")
    for variable, state in zip(_random_states(trainer), _arrays(path / "random_states.npz"), strict=True):
        variable.assign(state)
    values = json.loads((path / "state.json").read_text())
    return TrainingState(values["step"], values["closed"], _arrays(path / "metrics.npz"), values["callbacks"])


def restore_latest(trainer, run, warn):
    """Brings a compiled trainer to the newest whole checkpoint of a `Run`, if it has any, and returns the `TrainingState`.

    Damaged ones, and those of another run, are named and set aside. Of several workers the chief alone reads.

    Args:
        trainer: as for `save`.
        run: a `Run`.
        warn: function of a sentence.

    Raises:
        UserError: there are checkpoints, and all of them are damaged.
    """
    state = _restore_latest(trainer, run, warn) if run.writes else None
    workers.broadcast_variables(_variables(trainer))
    if state:
        plain = dataclasses.asdict(state) | {"metrics": [(v.dtype.name, v.tolist()) for v in state.metrics]}
    plain = workers.broadcast_object(plain if state else None)
    return TrainingState(**(plain | {"metrics": tuple(np.array(value, kind) for kind, value in plain["metrics"])}))


def _restore_latest(trainer, run, warn):
    checkpoints = list_checkpoints(run.checkpoints)
    for path in reversed(checkpoints):
        problem = damage(path, run)
        if problem is None:
            try:
                return restore(trainer, path)
            except (ValueError, KeyError, OSError) as error:
                problem = f"does not fit this network ({first_line(error)})"
        aside = path.with_name(f"damaged-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        warn(f"The checkpoint {path} {problem}; it is now {aside.name}, and the one before is taken.")
    if checkpoints:
        raise UserError(
            f"None of the {len(checkpoints)} checkpoints in {run.checkpoints} can be used; with --resume never the run "
            "begins anew, and what is left of this one is moved aside."
        )
    return TrainingState()


def damage(path, run):
    """Returns what is wrong with a checkpoint, words that follow its name, or None if it is whole and of this `Run`."""
    try:
        checksums = json.loads((path / CHECKSUMS).read_text())
        for name, expected in checksums.items():
            if digest(path / name) != expected:
                return f"is damaged ({name} is not what was written)"
        owner = json.loads((path / "state.json").read_text())["run"]
    except FileNotFoundError as error:
        return f"is damaged ({error.filename.rpartition('/')[2]} is missing)"
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return f"is damaged ({CHECKSUMS} cannot be read)"
    return None if owner == run.metadata().get("id") else "is that of another run"


def list_checkpoints(directory):
    """Returns the checkpoint folders, oldest first."""
    return sorted(path for path in directory.iterdir() if re.fullmatch(r"step-\d+(-epoch-\d+)?", path.name))


def latest(run):
    """Returns the newest checkpoint folder of a `Run`, or None."""
    return next(reversed(list_checkpoints(run.checkpoints)), None) if run.checkpoints.is_dir() else None


def _arrays(path):
    with np.load(path) as arrays:
        return list(arrays.values())


def _variables(trainer):
    """Returns what a checkpoint holds: weights, random states, and what the optimizers know."""
    states = [variable for optimizer in trainer.optimizers for variable in optimizer.variables]
    return [*trainer.weights, *_random_states(trainer), *states]


def _random_states(trainer):
    """Returns the states of the seed generators (dropout's, say), which Keras 3.15's `save_weights` leaves out."""
    others = {id(variable) for variable in [*trainer.weights, *trainer.metrics_variables]}
    return [variable for variable in trainer.variables if id(variable) not in others]
