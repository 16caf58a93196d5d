"""Numbers that a model predicts for a data set of texts, simple baselines, and the report on them."""

import json
import time

import numpy as np
import tensorflow as tf
from sklearn.linear_model import Ridge

from karpa_tf import plots
from karpa_tf.evaluation.baselines import fit_features
from karpa_tf.metrics.regression import summarize as compute_metrics
from karpa_tf.system.files import write_text
from karpa_tf.system.text_files import write_table

MEAN = "mean of the training labels"
RIDGE = "TF-IDF with ridge regression"

MAX_ERRORS = 36
"""Number of largest errors in the report."""


def compute_values(model, batches, count):
    """Returns the numbers that a model predicts, float64 (`count`,), in the order of the texts.

    Args:
        model: dict of token ids and masks to float32 (batch, 1).
        batches: dataset of (inputs, ...) with all texts in order; the last batch may be padded.
        count: number of texts.
    """
    score = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
    rows = [score(inputs).numpy()[:, 0] for inputs, *_ in batches]
    return np.concatenate(rows)[:count].astype(np.float64)


def measure_baselines(train, split):
    """Returns the predictions, float64 (n,), of each baseline for n texts, and the seconds that it took, by its name.

    Args:
        train: `TextSet` with numbers to train on.
        split: `TextSet` to predict.
    """
    results = {MEAN: (np.full(len(split), train.labels.mean(dtype=np.float64)), 0.0)}
    start = time.perf_counter()
    describe, indices = fit_features(train)
    model = Ridge(alpha=1.0, solver="sparse_cg").fit(describe(train.select(indices)), train.labels[indices])
    results[RIDGE] = model.predict(describe(split)).astype(np.float64), time.perf_counter() - start
    return results


def save_report(folder, split, predictions, baselines):
    """Writes `report.json`, `scatter.png` and `largest_errors.csv`; returns the content of the first.

    Args:
        folder: an existing folder.
        split: `TextSet` of n texts.
        predictions: float (n,).
        baselines: dict of `measure_baselines`.
    """
    report = {"data": split.name, "fingerprint": split.fingerprint, "count": len(split)}
    report |= compute_metrics(split.labels, predictions)
    report["baselines"] = [
        {"name": name, **compute_metrics(split.labels, values), "seconds": seconds}
        for name, (values, seconds) in baselines.items()
    ]
    write_text(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    plots.save_scatter(folder / "scatter.png", split.labels, predictions)
    worst = np.argsort(-np.abs(predictions - split.labels), kind="stable")[:MAX_ERRORS]
    rows = ((split.names[index], f"{split.labels[index]:.6g}", f"{predictions[index]:.6g}") for index in worst)
    write_table(folder / "largest_errors.csv", ["text", "true", "predicted"], rows, "The report")
    return report


def summarize(report, name):
    """Returns the figures of a report on the split `name` and of its baselines as text."""
    lines = [
        f"{label:10} Pearson {row['pearson']:.4f}, Spearman {row['spearman']:.4f}, RMSE {row['rmse']:.4g}{suffix}"
        for label, row, suffix in (
            (name.capitalize(), report, f" of {report['count']:,} texts"),
            *(("", row, f" by {row['name']} ({row['seconds']:.1f} s)") for row in report["baselines"]),
        )
    ]
    best = min(report["baselines"], key=lambda row: row["rmse"], default=None)
    if best and report["rmse"] >= best["rmse"]:
        lines.append(
            f"The network is not better than its baseline, {best['name']}: train it for more epochs, start from other "
            "weights (--init), or use the baseline instead."
        )
    return "\n".join(lines)
