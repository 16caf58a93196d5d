"""A run's `fit`, from wherever it was stopped: the rest of an epoch first, then the epochs after it."""

import keras

from karpa_tf.data.pipeline import InputMeter
from karpa_tf.distribution import collectives as workers
from karpa_tf.system.signals import StopSignals
from karpa_tf.training import checkpoints
from karpa_tf.training.callbacks.best_epoch import BestEpoch
from karpa_tf.training.callbacks.input_watch import InputWatch
from karpa_tf.training.callbacks.metrics_log import MetricsLog
from karpa_tf.training.callbacks.progress import Progress
from karpa_tf.training.callbacks.watch import StopIfNotFinite


def fit(
    trainer,
    batches,
    run,
    config,
    state,
    steps_per_epoch,
    callbacks=(),
    validation=None,
    patience=0,
    units=None,
    unit="images",
):
    """Trains a trainer to the end of a run, with its logs, checkpoints and progress; says how much it waited for data.

    What is trained does not depend on how often the run was stopped, nor where. Of several workers all do the same, but
    only the chief writes.

    Args:
        trainer: a compiled trainer, which stands at `state`.
        batches: function of the number of a step, `first_step`, and of an `InputMeter`, `meter`; returns an endless
            dataset that begins with that step's batch, and tells the meter how long each is waited for.
        run: a `Run`.
        config: a `RunConfig`.
        state: the `checkpoints.TrainingState` from which to go on.
        steps_per_epoch: number of steps in one epoch.
        callbacks: more Keras callbacks; they see one `fit`, and the batch's number in the epoch. Where they add to the
            logs of an epoch, these are written too.
        validation: dataset to measure after every epoch, or None; with it the best epoch's weights are kept.
        patience: epochs without a lower validation loss after which to stop; 0 never stops.
        units: what one step takes in, of `unit`; None is the batch size.
        unit: what is counted, in the plural.

    Raises:
        Stopped: SIGTERM, SIGINT or SIGUSR1 came, and everything is saved; or another worker is gone.
        UserError: a loss or weight is not finite, or the disk is full.
    """
    units = units or config.batch_size
    validated = [f"val_{metric.name}" for metric in trainer.metrics] if validation is not None else []
    validated += [name for callback in callbacks for name in getattr(callback, "adds", ())]
    log = MetricsLog(run, units, config.log_every, state.step, validated, unit)
    log.set_state(state.callbacks.get("MetricsLog"))
    best = BestEpoch(run, patience) if validation is not None else None
    watch = InputWatch(InputMeter())
    progress = Progress(units, unit, state.step, watch)
    with StopSignals() as stop, progress, workers.name_lost_workers():
        everything = _OneFit(
            [
                _RestoreMetrics(state),
                watch,
                *_profiles(run, config),
                StopIfNotFinite(lambda: checkpoints.latest(run), state.step),
                *callbacks,
                log,
                *([best] if best else []),
                checkpoints.Checkpoint(run, config, steps_per_epoch, state, stop, [log]),
                progress,
            ],
            add_history=True,  # `fit` returns it.
            model=trainer,
            epochs=config.epochs,
            steps=steps_per_epoch,
        )
        everything.begin()
        epoch, made = divmod(state.step, steps_per_epoch)
        if not state.closed:
            everything.close_epoch(epoch - 1, validation)
        elif made:
            everything.made = made
            rest = batches(first_step=state.step, meter=watch.meter)
            _fit(trainer, rest, epoch, epoch + 1, steps_per_epoch - made, validation, everything)
            everything.made = 0
            epoch += 1
        if epoch < config.epochs and not (best and best.is_over(epoch)):
            whole = batches(first_step=epoch * steps_per_epoch, meter=watch.meter)
            _fit(trainer, whole, epoch, config.epochs, steps_per_epoch, validation, everything)
        everything.end()
    watch.report(run)


def _profiles(run, config):
    """Returns the callbacks that `--profile` asks for."""
    if not (config.profile and run.writes):
        return []
    # Not before it is asked for: what it reads the profile with has no public name.
    from karpa_tf.training.callbacks.profile import Profile

    facts = run.metadata()
    return [Profile(run, f"{facts['app']} on {facts['device']} in {config.precision}")]


def _fit(trainer, batches, first_epoch, epochs, steps, validation, callbacks):
    trainer.fit(
        batches,
        validation_data=validation,
        initial_epoch=first_epoch,
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,  # The batches come in an order of their own.
        verbose=0,
        callbacks=callbacks,
    )


class _OneFit(keras.callbacks.CallbackList):
    """Shows callbacks one `fit` where there are two, the first of which has begun in mid-epoch."""

    made = 0
    """Steps of the epoch that were made before."""

    def begin(self):
        super().on_train_begin()

    def end(self):
        super().on_train_end()

    def on_train_begin(self, logs=None):
        """Has been said."""

    def on_train_end(self, logs=None):
        """Is said at the end of both."""

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch + self.made, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch + self.made, logs)

    def close_epoch(self, epoch, validation):
        """Does what `fit` does after the last step of an epoch."""
        self.model.stop_training = False
        self.model.reset_metrics()
        self.on_epoch_begin(epoch)
        logs = self.model.get_metrics_result()
        if validation is not None:
            measured = self.model.evaluate(validation, verbose=0, return_dict=True, callbacks=self)
            logs |= {f"val_{name}": value for name, value in measured.items()}
        self.on_epoch_end(epoch, logs)


class _RestoreMetrics(keras.callbacks.Callback):
    """Brings back what the metrics had summed up when the run was stopped; the first callback."""

    def __init__(self, state):
        super().__init__()
        self.state = state

    def on_epoch_begin(self, epoch, logs=None):
        if self.state.metrics:
            for variable, value in zip(self.model.metrics_variables, self.state.metrics, strict=True):
                variable.assign(value)
        self.state = checkpoints.TrainingState()
