"""Checkpoints: everything a run needs to resume: weights, averages, optimizers, random states and position."""

import dataclasses
import json
import re
import shutil
import time

import keras
import numpy as np

from karpa_tf.distribution import collectives
from karpa_tf.errors import Stopped, UserError, diverged, first_line
from karpa_tf.system.files import digest, publish_folder, remove_folder, require_room

CHECKSUMS = "checksums.json"
TRAINER, NETWORK, EXPORTED = "trainer.weights.h5", "network.weights.h5", "exported.weights.h5"
_SAVE, _STOP = 1, 2


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """How far a run has come."""

    step: int = 0
    """Steps since the start of the run; also the position in the data."""

    epoch_finished: bool = True
    """False after the last step of an epoch whose validation and reports are still to come."""

    metrics: tuple = ()
    """Arrays: the metrics' variables in an unfinished epoch."""

    callbacks: dict = dataclasses.field(default_factory=dict)
    """States of callbacks, by class name."""


class Checkpoint(keras.callbacks.Callback):
    """Saves the trainer at intervals, after each epoch, and on a signal to stop; the last callback.

    Args:
        plan: a `Plan`; of its config `save_steps`, `save_minutes` and `keep_checkpoints` are used.
        stop: a `StopSignals`; once it has received a signal, the trainer is saved after the step, and `Stopped` is
            raised.
        stateful: callbacks with a method `get_state`, which returns what JSON can hold.
    """

    def __init__(self, plan, stop, stateful=()):
        super().__init__()
        self.run, self.config, self.steps_per_epoch = plan.run, plan.config, plan.steps_per_epoch
        self.step, self.stop, self.stateful = plan.state.step, stop, stateful

    def on_train_begin(self, logs=None):
        self.saved_at = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        is_last = self.step % self.steps_per_epoch == 0
        if is_last:
            self.metrics = self._metrics()  # Validation uses the same variables.
        request = self._request()
        if request == _STOP:
            self._save(epoch_finished=not is_last)
            self._end()
        if request == _SAVE and not is_last:
            self._save()

    def on_test_batch_end(self, batch, logs=None):
        if self._request() == _STOP:
            self._save(epoch_finished=False, metrics=self.metrics)
            self._end()

    def on_epoch_end(self, epoch, logs=None):
        self._save(metrics=())
        if self._request() == _STOP:
            self._end()

    def _request(self):
        """Returns what any of the workers has to do: nothing (0), save, or stop."""
        steps, seconds = self.config.save_steps, 60 * self.config.save_minutes
        is_due = (steps and self.step % steps == 0) or (seconds and time.monotonic() - self.saved_at >= seconds)
        return collectives.all_reduce_max(_STOP if self.stop.received else _SAVE if is_due else 0)

    def _metrics(self):
        return [variable.numpy() for variable in self.model.metrics_variables]

    def _save(self, epoch_finished=True, metrics=None):
        callbacks = {type(callback).__name__: callback.get_state() for callback in self.stateful}
        state = TrainingState(self.step, epoch_finished, self._metrics() if metrics is None else metrics, callbacks)
        if self.run.writes:
            save(self.model, self.run, state, self.steps_per_epoch)
            for old in list_checkpoints(self.run.checkpoints)[: -self.config.keep_checkpoints]:
                remove_folder(old)
        self.saved_at = time.monotonic()

    def _end(self):
        message = f"Stopped by {self.stop.received or 'a signal to another worker'} after step {self.step}."
        if self.run.writes:
            message += f" Nothing is lost: the same command resumes from {latest(self.run)}."
        raise Stopped(message)


def save(trainer, run, state, steps_per_epoch):
    """Writes a checkpoint folder, which appears complete or not at all, and returns its path.

    Files: `trainer.weights.h5`, everything that is trained, with optimizers; `exported.weights.h5`, the model to
    evaluate and export; `network.weights.h5`, the trained model, if the exported one is its moving average.

    Args:
        trainer: `keras.Model` with the attributes `network` and `exported`.
        run: the `Run` it belongs to.
        state: the `TrainingState` of the run.
        steps_per_epoch: at the end of an epoch the folder's name says so.

    Raises:
        UserError: a weight is not finite, or the disk is full; earlier checkpoints are untouched.
    """
    broken = [weight.path for weight in trainer.weights if not np.isfinite(weight.numpy()).all()]
    if broken:
        raise diverged(f"At step {state.step} the weights of {broken[0]} are not finite", latest(run))
    name = f"step-{state.step:08d}"
    if state.epoch_finished and state.step % steps_per_epoch == 0:
        name += f"-epoch-{state.step // steps_per_epoch:05d}"
    try:
        with publish_folder(run.checkpoints / name) as folder:
            # h5py 3.14 kills the process if the disk is full in the middle of a file.
            require_room(folder, _size(trainer))
            trainer.save_weights(folder / TRAINER)
            trainer.exported.save_weights(folder / EXPORTED)
            if trainer.network is not trainer.exported:
                trainer.network.save_weights(folder / NETWORK)
            np.savez(folder / "random_states.npz", *[variable.numpy() for variable in _random_states(trainer)])
            np.savez(folder / "metrics.npz", *state.metrics)
            values = {"run": run.metadata().get("id"), "step": state.step, "epoch_finished": state.epoch_finished}
            (folder / "state.json").write_text(json.dumps(values | {"callbacks": state.callbacks}))
            checksums = {path.name: digest(path) for path in sorted(folder.iterdir())}
            (folder / CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n")
    except (OSError, RuntimeError) as error:  # h5py raises either.
        kept = f"{newest} is intact" if (newest := latest(run)) else "there was no earlier one"
        raise UserError(
            f"The checkpoint of step {state.step} cannot be written ({first_line(error)}); {kept}. "
            f"Free some space in {run.checkpoints}, and run the same command again to resume."
        ) from error
    return run.checkpoints / name


def _size(trainer):
    """Returns an upper bound of the bytes of a checkpoint: all weights with two moments, and copies of both models."""
    copies = [*trainer.exported.weights, *(trainer.network.weights if trainer.network is not trainer.exported else [])]
    weights = [*trainer.weights, *trainer.weights, *trainer.weights, *copies]
    return sum(weight.numpy().nbytes + 4096 for weight in weights) + 2**16


def restore(trainer, path):
    """Restores a compiled trainer from a checkpoint folder and returns the `TrainingState`."""
    trainer.load_weights(path / TRAINER)
    for variable, value in zip(_random_states(trainer), _load_arrays(path / "random_states.npz"), strict=True):
        variable.assign(value)
    values = json.loads((path / "state.json").read_text())
    return TrainingState(
        values["step"], values["epoch_finished"], _load_arrays(path / "metrics.npz"), values["callbacks"]
    )


def restore_latest(trainer, run, warn):
    """Restores a compiled trainer from the newest intact checkpoint, if there is any, and returns the `TrainingState`.

    Damaged checkpoints, and those of another run, are named and renamed. Only the chief of several workers reads.

    Args:
        trainer: as for `save`.
        run: a `Run`.
        warn: function of a message.

    Raises:
        UserError: there are checkpoints, and all of them are damaged.
    """
    state = _restore_latest(trainer, run, warn) if run.writes else None
    collectives.broadcast_variables(_variables(trainer))
    if state:
        values = dataclasses.asdict(state) | {"metrics": [(v.dtype.name, v.tolist()) for v in state.metrics]}
    values = collectives.broadcast_object(values if state else None)
    return TrainingState(**(values | {"metrics": tuple(np.array(value, dtype) for dtype, value in values["metrics"])}))


def _restore_latest(trainer, run, warn):
    checkpoints = list_checkpoints(run.checkpoints)
    for path in reversed(checkpoints):
        problem = find_damage(path, run)
        if problem is None:
            try:
                return restore(trainer, path)
            except (ValueError, KeyError, OSError) as error:
                problem = f"does not fit this model ({first_line(error)})"
        aside = path.with_name(f"damaged-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        warn(f"The checkpoint {path} {problem}; it was renamed to {aside.name}, and the previous one is used.")
    if checkpoints:
        raise UserError(
            f"None of the {len(checkpoints)} checkpoints in {run.checkpoints} can be used. With --resume never the run "
            "starts again, and what is left of this one is moved aside."
        )
    return TrainingState()


def find_damage(path, run):
    """Returns what is wrong with a checkpoint, to follow its name in a message; None if it is intact and of `run`."""
    try:
        checksums = json.loads((path / CHECKSUMS).read_text())
        for name, expected in checksums.items():
            if digest(path / name) != expected:
                return f"is damaged ({name} has changed since it was written)"
        owner = json.loads((path / "state.json").read_text())["run"]
    except FileNotFoundError as error:
        return f"is damaged ({error.filename.rpartition('/')[2]} is missing)"
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return f"is damaged ({CHECKSUMS} cannot be read)"
    return None if owner == run.metadata().get("id") else "belongs to another run"


def list_checkpoints(directory):
    """Returns the checkpoint folders, oldest first."""
    return sorted(path for path in directory.iterdir() if re.fullmatch(r"step-\d+(-epoch-\d+)?", path.name))


def latest(run):
    """Returns the newest checkpoint folder of a `Run`, or None."""
    return next(reversed(list_checkpoints(run.checkpoints)), None) if run.checkpoints.is_dir() else None


def _load_arrays(path):
    with np.load(path) as arrays:
        return list(arrays.values())


def _variables(trainer):
    """Returns all variables that a checkpoint holds: weights, random states and optimizer states."""
    states = [variable for optimizer in trainer.optimizers for variable in optimizer.variables]
    return [*trainer.weights, *_random_states(trainer), *states]


def _random_states(trainer):
    """Returns the states of the seed generators (for dropout), which `save_weights` of Keras 3.15 leaves out."""
    others = {id(variable) for variable in [*trainer.weights, *trainer.metrics_variables]}
    return [variable for variable in trainer.variables if id(variable) not in others]
