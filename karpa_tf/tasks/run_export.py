"""The export of a run: its model as a version, whose card says where it comes from."""

import json

from karpa_tf.export import versions
from karpa_tf.training import run as runs
from karpa_tf.training.weights import find_weights


def write(run, make_export, base, kind=None, **options):
    """Writes the next version of a run's model and returns its folder and the `Weights` that it has.

    Args:
        run: a `Run`.
        make_export: function of a `Run` and a kind of weights that returns an `Export` and `Weights`.
        base: folder of the model's versions.
        kind: which weights, as for `find_weights`.
        **options: for `versions.write`.
    """
    export, weights = make_export(run, kind)
    return versions.write(base, export, facts(run, weights), **options), weights


def write_once(run, make_export, base, keep=0):
    """Returns the folder of a `Run`'s SavedModel, written now where there is none; arguments as for `write`."""
    return runs.export_once(run, lambda: write(run, make_export, base, keep=keep)[0])


def facts(run, weights):
    """Returns what the card of a model says of the `Run` that it comes from, and of its `Weights`.

    The metrics are those of the run's report if it was made of these weights, or else the validation loss of the best
    epoch; of other weights nothing is known.
    """
    config, known = run.read_config(), run.metadata()
    found = {key: known[key] for key in ("app", "device", "started") if key in known}
    metrics, measured = _metrics(run, weights, known.get("app"))
    return found | {
        "run": {"name": run.path.absolute().name, "id": known.get("id")},
        "weights": weights.metadata(),
        "config": config,
        "seed": config.get("seed"),
        "data": {"name": config.get("data")} | _without_skipped(known.get("data", {})),
        "metrics": metrics,
        "measured": measured,
    }


def _metrics(run, weights, app):
    """Returns what was measured of these weights, and a sentence on what."""
    report = run.eval / "report.json"
    # The report is made at the end, of the weights that are used by default.
    if weights == find_weights(run) and report.exists() and report.stat().st_mtime >= weights.file.stat().st_mtime:
        what = "training images, with new noise" if app == "train_gan" else "examples that it has not learned from"
        values = {key: value for key, value in json.loads(report.read_text()).items() if key != "classes"}
        return values, f"Measured after training on {what}."
    if weights.kind == "best":
        best = json.loads((run.checkpoints / "best.json").read_text())
        return {"val_loss": best["val_loss"]}, f"Measured after epoch {best['epoch']} on the validation part."
    return {}, None


def _without_skipped(values):
    """Returns a record of data in which files that were left out are a number: their names stay private."""
    if not isinstance(values, dict):
        return values
    return {
        key: len(value) if key == "skipped" and isinstance(value, list) else _without_skipped(value)
        for key, value in values.items()
    }
