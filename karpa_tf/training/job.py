"""What every training program does around `fit`."""

from pathlib import Path

from karpa_tf import plots
from karpa_tf.distribution import collectives
from karpa_tf.distribution.strategy import describe_devices, jit_compile, make_strategy, require_divisible
from karpa_tf.errors import UserError
from karpa_tf.system.console import warn
from karpa_tf.system.files import require_writable
from karpa_tf.system.seeding import seed_everything
from karpa_tf.training import checkpoints
from karpa_tf.training.fit import Plan, fit
from karpa_tf.training.precision import resolve_precision
from karpa_tf.training.run import Run, export_once, open_run, planned_folder, print_resume_command


class Job:
    """A training program's seeds, devices, precision, run folder, `fit`, curves and export, in this order.

    A plain object: a program that needs something else calls the functions that this file calls. Its methods are called
    in the order in which they stand here.

    Args:
        task: a `Task`.
        config: a `RunConfig`.

    Attributes:
        config: the same with a definite precision; it is Keras' global dtype policy from now on.
        strategy: the `tf.distribute` strategy.
        jit_compile: whether to compile the training step with XLA; for `trainer.compile`.
        run: the `Run`, once it is open.

    Raises:
        UserError: there are no such devices, or they do not divide the batch.
    """

    def __init__(self, task, config):
        seed_everything(config.seed, config.deterministic)
        self.task, self.run = task, None
        self.strategy = make_strategy(config.strategy)
        self.config = resolve_precision(config, task)
        optimization = getattr(config, "optimization", None)
        parts = optimization.gradient_accumulation_steps if optimization else 1
        require_divisible(config.batch_size, self.strategy, parts)
        self.jit_compile = jit_compile(config.jit, self.strategy)

    def count_steps(self, count, unit, step_size=None):
        """Returns the number of steps per epoch; raises `UserError` if there is none.

        Args:
            count: number of training examples.
            unit: what they are, in the plural.
            step_size: number of examples in a step; None is the batch size.
        """
        batch_size = self.config.batch_size
        step_size = step_size or batch_size
        if count < step_size:
            times = f" times {step_size // batch_size}" if step_size > batch_size else ""
            raise UserError(f"--batch-size {batch_size}{times} is larger than the training split: {count} {unit}.")
        return count // step_size

    def scope(self):
        """Returns the scope in which models, optimizers and trainer are made."""
        return self.strategy.scope()

    def open_run(self, trainer, steps_per_epoch, data, vocabulary=None, details=None):
        """Opens the run folder, restores the trainer from its newest checkpoint, and returns the `Run`.

        With --dry-run it prints what would be done and returns None.

        Args:
            trainer: a compiled trainer.
            steps_per_epoch: number of steps in one epoch.
            data: what `run.json` says about the data, a dict; its `classes` must be those of versions exported before.
            vocabulary: the `Vocabulary` of a language model, which must be that of versions exported before.
            details: what the card of the export will have in `details`, as far as versions must agree in it, or None.
        """
        config, devices = self.config, describe_devices(self.strategy)
        print(f"{config.epochs} epochs of {steps_per_epoch} steps with batch size {config.batch_size} on {devices}")
        require_writable(config.export_dir, "--export-dir")
        folder = planned_folder(config, self.task.app)
        if not (config.allow_incompatible or Run(folder).config_file.exists()):
            self.task.require_compatible(self._export_folder(), data.get("classes"), vocabulary, details)
        if config.dry_run:
            print(f"Would write {folder} and {self._export_folder()}")
            return None
        self.run = open_run(config, self.task.app, self.task.name, data)
        self.run.update_metadata(device=devices)
        self.trainer, self.steps_per_epoch = trainer, steps_per_epoch
        self.state = checkpoints.restore_latest(trainer, self.run, warn)
        print_resume_command(self.run, self.task.app, self.state.step, steps_per_epoch)
        return self.run

    def fit(self, batches, callbacks=(), validation=None, unit="images", units_per_step=None):
        """Trains to the end of the run.

        Args:
            batches: as for `training.fit.fit`.
            callbacks: more Keras callbacks.
            validation: dataset to evaluate after every epoch, or None.
            unit: what throughput is counted in, in the plural.
            units_per_step: how many of them a step processes; None is the batch size.
        """
        self.run.update_metadata(units_per_step=units_per_step or self.config.batch_size)
        plan = Plan(self.run, self.config, self.state, self.steps_per_epoch, unit, units_per_step)
        fit(self.trainer, batches, plan, callbacks, validation)

    def finish(self, curves, rows=None):
        """Draws the curves, exports the model unless that was done before, writes the page, and returns the `Run`.

        All workers call it. The chief alone writes, and prints where everything is; the others wait for it.

        Args:
            curves: dict from the title of a panel to names of columns of `metrics.csv`.
            rows: list of dicts to draw instead of the rows of `metrics.csv`.
        """
        if self.run.writes:
            plots.save_curves(self.run.curves_file, rows or self.run.read_metrics(), curves)
            saved_model = export_once(self.run, self._export)
            print(f"Curves      {self.run.curves_file}\nSavedModel  {saved_model}")
            self.task.save_page(self.run, curves=curves)
        collectives.barrier()
        return self.run

    def _export(self):
        base = self._export_folder()
        earlier = self.task.find_export(self.run, base)
        options = {"keep": self.config.keep_versions, "allow_incompatible": self.config.allow_incompatible}
        return earlier or self.task.export(self.run, base, **options)[0]

    def _export_folder(self):
        return Path(self.config.export_dir, self.config.name)
