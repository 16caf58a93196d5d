"""What a run has left in its folder: config, metadata, metrics over steps, report, and the baselines of the report."""

import dataclasses
import json
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Results:
    """The files of a run that pages are made of."""

    run: object
    """A `Run`."""

    config: dict
    """Content of `config.yaml`."""

    metadata: dict
    """Content of `run.json`."""

    report: dict
    """Content of `eval/report.json`; empty before the end of the run."""

    rows: list
    """Rows of `metrics.csv`, dicts of numbers."""

    @property
    def is_finished(self):
        """Whether the run has come to its end: its model is exported last."""
        return bool(self.metadata.get("saved_model"))

    @property
    def x_name(self):
        """What curves are drawn over: "step", or "epoch" if there are several."""
        return "epoch" if self.rows and self.rows[-1].get("epoch", 0) > 1 else "step"

    def panels(self):
        """Returns a dict from titles of charts to names of columns, those that the program drew its own curves with."""
        columns = {name: None for row in self.rows for name in row if name not in ("step", "epoch")}
        pairs = {name: [name, f"val_{name}"] for name in (column.removeprefix("val_") for column in columns)}
        drawn = self.metadata.get("curves") or pairs
        panels = {title: [name for name in names if name in columns] for title, names in drawn.items()}
        return {title: names for title, names in panels.items() if names}

    def column(self, name, x_name):
        """Returns where a column of `metrics.csv` has values, and the values, as arrays."""
        points = [(row[x_name], row[name]) for row in self.rows if name in row and x_name in row]
        return np.array(points, float).reshape(-1, 2).T

    def rate(self):
        """Returns the name of the column with the throughput, its median, and the seconds that all steps took."""
        name = next((name for name in (self.rows or [{}])[-1] if name.endswith("_per_second")), None)
        steps, rates = self.column(name, "step")
        units = self.metadata.get("units_per_step")
        seconds = float((np.diff(steps, prepend=0) * units / rates).sum()) if units and (rates > 0).all() else None
        return name, float(np.median(rates)) if len(rates) else None, seconds


def load_results(run):
    """Returns the `Results` of a `Run`; what is not there yet is empty."""
    rows = run.read_metrics() if run.metrics_file.exists() else []
    return Results(run, run.read_config(), run.metadata(), read_json(run.eval / "report.json"), rows)


def read_json(path):
    """Returns the dict in a JSON file; it is empty if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_baselines(report):
    """Returns the baselines of a report: dicts of metrics and a `name`, and a `loss` (nats) where curves have one."""
    baselines = [dict(entry) for entry in report.get("baselines", []) if isinstance(entry, dict) and "name" in entry]
    unigram = {key.removeprefix("unigram_"): value for key, value in report.items() if key.startswith("unigram_")}
    if unigram:
        loss = {"loss": math.log(unigram["perplexity"])} if unigram.get("perplexity", 0) > 0 else {}
        baselines.append({"name": "token frequencies alone", **unigram, **loss})
    return baselines


def find_best(entries, metric, mode):
    """Returns the best of dicts by a metric, or None if none has a finite value.

    Args:
        entries: list of dicts.
        metric: key of the dicts.
        mode: "max" or "min".
    """
    values = [entry for entry in entries if is_number(entry.get(metric)) and math.isfinite(entry[metric])]
    return (max if mode == "max" else min)(values, key=lambda entry: entry[metric], default=None)


def describe_gain(baseline, count):
    """Returns a sentence on how far a model's gain over a baseline may be chance, or "" if there is no interval.

    Args:
        baseline: dict with `accuracy_gain_low` and `accuracy_gain_high`: the 95 % interval of the accuracy of the model
            minus that of the baseline.
        count: number of examples, or of masked tokens.
    """
    low, high = (baseline.get(f"accuracy_gain_{end}") for end in ("low", "high"))
    if low is None or high is None:
        return ""
    verdict = "it may be chance" if is_uncertain(baseline) else "more than chance"
    return (
        f"With 95 % confidence the model's accuracy differs from the baseline's by {100 * low:+.1f} to "
        f"{100 * high:+.1f} percentage points (n = {count:,}): {verdict}."
    )


def describe_parts(report, baseline):
    """Returns a list of sentences, one for each of a report's `parts` that is no better than a baseline."""
    return [
        f"But {part['name']} is not better than {baseline['name']}: {part['accuracy']:.2%}."
        for part in report.get("parts", [])
        if part["accuracy"] <= baseline["accuracy"] < report["accuracy"]
    ]


def is_uncertain(baseline):
    """Returns whether the interval of the gain over a baseline, if there is one, holds 0."""
    return baseline.get("accuracy_gain_low", 1) <= 0 <= baseline.get("accuracy_gain_high", 1)


def is_number(value):
    """Returns whether a value of a report is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def flatten(values, prefix=""):
    """Returns a nested dict as one of depth 1, whose keys are joined by dots."""
    flat = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
