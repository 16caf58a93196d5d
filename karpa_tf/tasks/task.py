"""What all tasks have in common: a description for the tools, and the export of a finished run."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from karpa_tf.configs.run import from_dict
from karpa_tf.errors import UserError
from karpa_tf.evaluation import report_page
from karpa_tf.export import card, compatibility, versions
from karpa_tf.export.meta_graph import list_versions
from karpa_tf.system.console import warn
from karpa_tf.training.run import Run
from karpa_tf.training.weights import Weights, find_weights


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """The model of a run, with weights, and what is needed to use it."""

    run: Run

    config: Any
    """The run's config."""

    model: Any
    """Functional Keras model in float32."""

    weights: Weights
    """Which weights the model has."""

    classes: tuple[str, ...] = ()
    """Class names in the order of the logits, if the task has any."""

    vocabulary: Any = None
    """`Vocabulary` of a language model."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A kind of run."""

    name: str
    """Key in `tasks.TASKS`; stands in `run.json`."""

    app: str
    """The program that trains it."""

    title: str
    """What people read, for example in the model card."""

    bfloat16: bool
    """Whether results in mixed_bfloat16 were measured to be as good as in float32: --precision auto may then use it."""

    evaluated_on: str
    """On what `eval/report.json` was measured, after "Measured after training on"."""

    load: Callable
    """Function of a `Run` and a kind of weights, as for `find_weights`, that returns the `FinishedRun`. It changes no
    global state."""

    describe: Callable
    """Function of a `FinishedRun` that returns a line about its model."""

    make_export: Callable
    """Function of a `FinishedRun` that returns its `Export`."""

    headline: dict[str, str] = dataclasses.field(default_factory=dict)
    """Metrics of `eval/report.json` by which runs are judged, the most important first, each "max" or "min"."""

    usage: str = ""
    """Command lines that use an exported version, with {saved_model} for its folder; shown on the page of a run."""

    def export(self, run, base, kind=None, **options):
        """Writes the next version of a run's model and returns its folder and the `Weights` that it has.

        Args:
            run: a `Run` of this task.
            base: folder of the model's versions.
            kind: which weights, as for `find_weights`.
            **options: for `versions.write`.
        """
        finished = self.load(run, kind)
        export = self.make_export(finished)
        if not export.real_examples:
            warn(f"{run.path} keeps no examples of its data; the export is checked and warmed up with synthetic ones.")
        return versions.write(base, export, self.metadata(finished), **options), finished.weights

    def require_compatible(self, base, classes=None, vocabulary=None, details=None):
        """Raises `UserError` before training if a model could not replace the newest version in a folder of versions.

        Args:
            base: folder of the model's versions.
            classes: names of the classes in order, empty if the model has none; or None not to compare them.
            vocabulary: a `Vocabulary`, or None not to compare it.
            details: as for `compatibility.require_compatible`.
        """
        files = {compatibility.LABELS: classes, compatibility.VOCABULARY: vocabulary and vocabulary.tokens}
        texts = {name: compatibility.format_lines(lines) or None for name, lines in files.items() if lines is not None}
        compatibility.require_compatible(base, texts, details=details)

    def find_export(self, run, base):
        """Returns the folder of the newest version in `base` if it is of this run and its present weights, or None.

        A program that was killed after it had exported, and before it noted that, must not export again.
        """
        folder = Path(base, str(max(list_versions(base), default=0)))
        values, weights = card.read(folder), find_weights(run)
        is_own = weights and values.get("run", {}).get("id") == run.metadata().get("id")
        return folder if is_own and values.get("weights") == weights.metadata() else None

    def save_page(self, run, **metadata):
        """Writes `report.html` of a run, and prints its path: after training, and after a tool has added something.

        Args:
            run: a `Run` of this task.
            **metadata: for `Run.update_metadata`.
        """
        try:
            run.update_metadata(**metadata)
            values = run.metadata()
            folders = filter(None, dict.fromkeys([values.get("saved_model"), *values.get("exports", [])]))
            path = report_page.save(run, self, {folder: card.read(folder) for folder in folders})
            print(f"Report      {path}")
        except OSError as error:
            warn(f"{run.path}/{report_page.FILE} was not written ({error.strerror}).")

    def metadata(self, finished):
        """Returns what the card of a model says about the `FinishedRun` that it comes from, a dict.

        The metrics are those of the run's report if it was made with these weights, otherwise the validation loss of
        the best epoch; of other weights nothing is known.
        """
        run, config = finished.run, finished.run.read_config()
        values = run.metadata()
        metrics, measured = self._metrics(run, finished.weights)
        return {key: values[key] for key in ("app", "device", "started") if key in values} | {
            "run": {"name": run.path.absolute().name, "id": values.get("id")},
            "weights": finished.weights.metadata(),
            "model": self.describe(finished),
            "config": config,
            "seed": config.get("seed"),
            "data": {"name": config.get("data")} | _count_skipped(values.get("data", {})),
            "metrics": metrics,
            "measured": measured,
        }

    def _metrics(self, run, weights):
        """Returns the metrics measured with these weights, and a sentence that says on what."""
        report = run.eval / "report.json"
        # The report is made at the end, with the default weights.
        if weights == find_weights(run) and report.exists() and report.stat().st_mtime >= weights.file.stat().st_mtime:
            values = {key: value for key, value in json.loads(report.read_text("utf-8")).items() if key != "classes"}
            return values, f"Measured after training on {self.evaluated_on}."
        if weights.kind == "best":
            best = json.loads((run.checkpoints / "best.json").read_text())
            data = "the validation split" if "val_loss" in best else self.evaluated_on
            values = {key: value for key, value in best.items() if key not in ("epoch", "file", "sha256")}
            return values, f"Measured after epoch {best['epoch']} on {data}."
        return {}, None


def read_config(run, task_name, app, config_class, flag="--run"):
    """Returns the config of a `Run` of a task.

    Args:
        run: a `Run`.
        task_name: name of the expected task.
        app: the program that trains it.
        config_class: a config dataclass.
        flag: the flag that named the run.

    Raises:
        UserError: the run is of another task, or was written by another version.
    """
    if run.metadata().get("task") != task_name:
        raise UserError(f"{flag} {run.path} holds no run of {app}.")
    return from_dict(config_class, run.read_config())


def _count_skipped(values):
    """Returns metadata of data in which lists of skipped files are replaced by their length: names stay private."""
    if not isinstance(values, dict):
        return values
    return {
        key: len(value) if key == "skipped" and isinstance(value, list) else _count_skipped(value)
        for key, value in values.items()
    }
