"""`fit` from wherever a run was interrupted: the rest of an epoch first, then the epochs after it."""

import dataclasses

import keras

from karpa_tf.data.pipeline import InputMeter
from karpa_tf.distribution import collectives
from karpa_tf.system.signals import StopSignals
from karpa_tf.training import checkpoints
from karpa_tf.training.callbacks.best_epoch import BestEpoch
from karpa_tf.training.callbacks.input_watch import InputWatch
from karpa_tf.training.callbacks.metrics_log import MetricsLog
from karpa_tf.training.callbacks.profile import Profile
from karpa_tf.training.callbacks.progress import Progress
from karpa_tf.training.callbacks.watch import StopIfNotFinite


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run trains, and how far it has come."""

    run: object
    """A `Run`."""

    config: object
    """A `RunConfig`."""

    state: checkpoints.TrainingState
    """Where to continue."""

    steps_per_epoch: int

    unit: str = "images"
    """What throughput is counted in, in the plural."""

    units_per_step: int | None = None
    """How many of them a step processes; None is the batch size."""


def fit(trainer, batches, plan, callbacks=(), validation=None):
    """Trains a trainer to the end of a run, with logs, checkpoints and progress, and reports the time spent on input.

    The result does not depend on how often or where the run was interrupted. All workers of a cluster call it; only the
    chief writes.

    Args:
        trainer: a compiled trainer, restored to `plan.state`.
        batches: function of `first_step`, an int, and `meter`, an `InputMeter`, that returns an endless dataset which
            starts with the batch of that step and tells the meter how long each batch was waited for.
        plan: a `Plan`.
        callbacks: more Keras callbacks; they see a single `fit`, and the index of the batch in its epoch. What they add
            to the logs of an epoch is written too. One with an attribute `monitor`, a name in these logs, decides which
            epoch is the best if there is no validation.
        validation: dataset to evaluate after every epoch, or None; with it the weights of the best epoch are kept.

    Raises:
        Stopped: on SIGTERM, SIGINT or SIGUSR1, after everything was saved; or another worker is gone.
        UserError: a loss or weight is not finite, or the disk is full.
    """
    run, config, state = plan.run, plan.config, plan.state
    units = plan.units_per_step or config.batch_size
    validated = [f"val_{metric.name}" for metric in trainer.metrics] if validation is not None else []
    validated += [name for callback in callbacks for name in getattr(callback, "adds", ())]
    log = MetricsLog(run, units, config.log_every, state.step, validated, plan.unit)
    log.resume(state.callbacks.get("MetricsLog"))
    monitor = "val_loss" if validation is not None else _find_monitor(callbacks)
    best = BestEpoch(run, getattr(config, "early_stopping", 0), monitor) if monitor else None
    watch = InputWatch(InputMeter())
    progress = Progress(units, plan.unit, state.step, watch)
    with StopSignals() as stop, progress, collectives.name_lost_workers():
        session = _SingleFit(
            [
                _RestoreMetrics(state),
                watch,
                *_make_profile(run, config),
                StopIfNotFinite(lambda: checkpoints.latest(run), state.step),
                *callbacks,
                log,
                *([best] if best else []),
                checkpoints.Checkpoint(plan, stop, [log]),
                progress,
            ],
            add_history=True,  # `fit` returns it.
            model=trainer,
            epochs=config.epochs,
            steps=plan.steps_per_epoch,
        )
        session.begin()
        epoch, steps_done = divmod(state.step, plan.steps_per_epoch)
        if not state.epoch_finished:
            session.finish_epoch(epoch - 1, validation)
        elif steps_done:
            session.steps_done = steps_done
            remaining = batches(first_step=state.step, meter=watch.meter)
            _fit(trainer, remaining, epoch, epoch + 1, plan.steps_per_epoch - steps_done, validation, session)
            session.steps_done = 0
            epoch += 1
        if epoch < config.epochs and not (best and best.is_over(epoch)):
            complete = batches(first_step=epoch * plan.steps_per_epoch, meter=watch.meter)
            _fit(trainer, complete, epoch, config.epochs, plan.steps_per_epoch, validation, session)
        session.end()
    watch.report(run)


def _find_monitor(callbacks):
    """Returns the name of the value by which the best epoch is found, or None."""
    return next((callback.monitor for callback in callbacks if hasattr(callback, "monitor")), None)


def _make_profile(run, config):
    """Returns the callbacks for `--profile`, a list."""
    if not (config.profile and run.writes):
        return []
    metadata = run.metadata()
    return [Profile(run, f"{metadata['app']} on {metadata['device']} in {config.precision}")]


def _fit(trainer, batches, first_epoch, epochs, steps, validation, callbacks):
    trainer.fit(
        batches,
        validation_data=validation,
        initial_epoch=first_epoch,
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,  # The batches are shuffled already.
        verbose=0,
        callbacks=callbacks,
    )


class _SingleFit(keras.callbacks.CallbackList):
    """Shows callbacks a single `fit` where there are two, the first of which starts within an epoch.

    A callback alone cannot do this: `fit` takes one `steps_per_epoch` for all of its epochs, so the rest of an
    interrupted epoch needs a `fit` of its own; each `fit` counts its batches from 0 and calls `on_train_begin` and
    `on_train_end`; and no `fit` repeats only the validation of an epoch (Keras 3.12 to 3.15).
    """

    steps_done = 0
    """Steps of the current epoch that were done before the interruption."""

    def begin(self):
        super().on_train_begin()

    def end(self):
        super().on_train_end()

    def on_train_begin(self, logs=None):
        """Ignored: `begin` calls the callbacks once."""

    def on_train_end(self, logs=None):
        """Ignored: `end` calls the callbacks once."""

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch + self.steps_done, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch + self.steps_done, logs)

    def finish_epoch(self, epoch, validation):
        """Does what `fit` does after the last step of an epoch."""
        self.model.stop_training = False
        self.model.reset_metrics()
        self.on_epoch_begin(epoch)
        logs = self.model.get_metrics_result()
        if validation is not None:
            results = self.model.evaluate(validation, verbose=0, return_dict=True, callbacks=self)
            logs |= {f"val_{name}": value for name, value in results.items()}
        self.on_epoch_end(epoch, logs)


class _RestoreMetrics(keras.callbacks.Callback):
    """Restores the metrics' sums of an interrupted epoch; the first callback."""

    def __init__(self, state):
        super().__init__()
        self.state = state

    def on_epoch_begin(self, epoch, logs=None):
        if self.state.metrics:
            for variable, value in zip(self.model.metrics_variables, self.state.metrics, strict=True):
                variable.assign(value)
        self.state = checkpoints.TrainingState()
