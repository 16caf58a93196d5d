"""The same training program with several values of some flags, and which of them is best on validation data."""

import csv
import dataclasses
import hashlib
import itertools
import re
import statistics
import subprocess
import sys
from pathlib import Path

from karpa_tf.errors import STOPPED, Stopped, UserError
from karpa_tf.system.files import write_text
from karpa_tf.system.signals import StopSignals
from karpa_tf.training.run import Run

MONITORS = ("val_loss", "frechet_distance")
"""Columns of `metrics.csv` to select by, the first that a run has; lower is better."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A run with one value of every flag that is varied."""

    values: dict[str, str]
    """Values by the names of the flags."""

    run: Run
    """Its run."""

    @property
    def flags(self):
        """The words of a command line, a list."""
        return [word for name, value in self.values.items() for word in (f"--{name}", *value.split())]

    def __str__(self):
        return ", ".join(f"{name} {value}" for name, value in self.values.items())

    @property
    def log(self):
        """The file of what its program printed."""
        return self.run.path.with_name(f"{self.run.path.name}.log")

    def is_over(self):
        """Returns whether its program has come to its end."""
        return "saved_model" in self.run.metadata()

    def train(self, command):
        """Runs a training program, which exports to a folder in its run folder; returns its error, or None.

        Args:
            command: name of the program and its flags.

        Raises:
            Stopped: the program was stopped, and has saved.
        """
        words = [sys.executable, "-m", f"apps.{command[0]}", *command[1:], *self.flags]
        words += ["--run", str(self.run.path), "--export-dir", str(self.run.path / "models")]
        with open(self.log, "w") as output, StopSignals() as stop:
            process = subprocess.Popen(words, stdout=output, stderr=output)
            try:
                while (code := _wait(process, 0.2)) is None:
                    if stop.received:
                        process.terminate()  # It saves; a second signal within its last step changes nothing.
            finally:
                process.kill()
        if stop.received or code == STOPPED:
            raise Stopped(f"The run was stopped; see {self.log}. The same command goes on.")
        if code == 0:
            return None
        errors = [line for line in self.log.read_text().splitlines() if re.search("error: |Unrecognized|Error", line)]
        return f"failed; see {self.log}. {' '.join(errors[-1:]).strip('│ ')}"

    def find_best(self, monitor=None):
        """Returns the best value of a column of `metrics.csv` over the epochs, the epoch, and the column.

        Args:
            monitor: the column; None is the first of `MONITORS` that there is.

        Raises:
            UserError: there is no such column, or no such file.
        """
        if not self.run.metrics_file.exists():
            raise UserError(f"{self.run.path} has no metrics.csv; a sweep needs complete runs, without --dry-run.")
        rows = self.run.read_metrics()
        names = {name for row in rows for name in row}
        monitor = monitor or next(filter(names.__contains__, MONITORS), None)
        if monitor not in names:
            raise UserError(
                f"{self.run.path} has no {monitor or ' or '.join(MONITORS)} in metrics.csv, by which a sweep selects; "
                f"there is {', '.join(sorted(names))}."
            )
        pick = max if is_higher_better(monitor) else min
        best = pick((row for row in rows if monitor in row), key=lambda row: row[monitor])
        return best[monitor], round(best["epoch"]), monitor


def _wait(process, seconds):
    """Returns the exit code of a process, or None if it has not ended by then."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def is_higher_better(monitor):
    """Returns whether a higher value of a column is better: of accuracies and speeds."""
    return "accuracy" in monitor or monitor.endswith("_per_second")


def make_trials(axes, folder):
    """Returns a `Trial` for each combination of values, a list.

    Args:
        axes: list of "flag=value,value"; a value with spaces is several words.
        folder: folder for their runs.

    Raises:
        UserError: an axis is not of this form, or a flag has no values or is there twice.
    """
    names, choices = [], []
    for axis in axes:
        name, equals, values = axis.partition("=")
        name = name.removeprefix("--")
        values = [value.strip() for value in values.split(",")]
        if not (name and equals) or "" in values or name in names:
            raise UserError(f"--over needs flag=value,value, each flag once; received {axis}.")
        names.append(name)
        choices.append(values)
    combinations = [dict(zip(names, values, strict=True)) for values in itertools.product(*choices)]
    return [Trial(values, Run(Path(folder, _name_folder(values)))) for values in combinations]


def _name_folder(values):
    """Returns a name that tells the values, and is another one for other values."""
    name = "_".join(f"{name}-{value}" for name, value in values.items())
    safe = re.sub(r"[^\w.+=-]", "-", name)[:100]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def require_same_sweep(folder, command):
    """Notes the command of a sweep in its folder; raises `UserError` if the folder holds another sweep."""
    file = Path(folder, "command.txt")
    text = "\n".join(command) + "\n"
    if file.exists() and file.read_text() != text:
        raise UserError(f"--out {folder} holds another sweep, of {' '.join(file.read_text().split())}; choose another.")
    write_text(file, text)


@dataclasses.dataclass(frozen=True)
class Setting:
    """The trials that differ in their seed only."""

    values: dict[str, str]
    """Values by the names of the other flags."""

    trials: list[Trial]
    figures: list[float]
    epochs: list[int]
    monitor: str

    @property
    def mean(self):
        """Mean of the best values over the seeds."""
        return statistics.fmean(self.figures)

    def __str__(self):
        name = ", ".join(f"{name} {value}" for name, value in self.values.items()) or "all seeds"
        spread = f" ± {statistics.stdev(self.figures):.4g}" if len(self.figures) > 1 else ""
        return f"{name:48}{f'{self.mean:.4g}{spread}':>20}  {', '.join(map(str, self.epochs))}"


def rank(trials, monitor=None):
    """Returns a `Setting` for all trials that differ in their seed only, the one with the best mean first.

    Args:
        trials: a list of `Trial`, all over.
        monitor: as for `Trial.find_best`.
    """
    groups = {}
    for trial in trials:
        key = tuple((name, value) for name, value in trial.values.items() if name != "seed")
        groups.setdefault(key, []).append(trial)
    settings = []
    for key, members in groups.items():
        figures, epochs, monitors = zip(*(trial.find_best(monitor) for trial in members), strict=True)
        settings.append(Setting(dict(key), members, list(figures), list(epochs), monitors[0]))
    return sorted(settings, key=lambda setting: setting.mean, reverse=is_higher_better(settings[0].monitor))


def format_ranking(settings):
    """Returns a table of what `rank` returns, text: means with their standard deviation over seeds, and epochs."""
    return "\n".join([f"{'':48}{settings[0].monitor:>20}  epoch", *map(str, settings)])


def save_trials(path, trials, monitor=None):
    """Writes a CSV file with a row for each trial: its values, the best value, the epoch, and the run."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*trials[0].values, trials[0].find_best(monitor)[2], "epoch", "run"])
        writer.writerows([*trial.values.values(), *trial.find_best(monitor)[:2], trial.run.path] for trial in trials)
