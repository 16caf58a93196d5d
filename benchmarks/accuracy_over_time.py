"""Draws the validation accuracy of runs of train_classifier against the time they had trained for.

$ python -m benchmarks.accuracy_over_time runs/train_classifier/... [more runs] --out curve.png

Time is that of the training steps alone, from `images_per_second` in metrics.csv; measuring after each epoch is
left out.
"""

import argparse
from pathlib import Path

from karpa_tf import plots
from karpa_tf.runs import Run


def accuracy_over_time(run):
    """Returns rows of a run's metrics with `minutes` and, under the run's name, its accuracy after each epoch."""
    config, rows, seconds, before = run.read_config(), [], 0.0, 0
    for row in run.read_metrics():
        seconds += (row["step"] - before) * config["batch_size"] / row["images_per_second"]
        before = row["step"]
        if "val_accuracy" in row:
            label = f"{config['epochs']} epochs, seed {config['seed']}"
            rows.append({"minutes": seconds / 60, label: row["val_accuracy"]})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("curve.png"))
    arguments = parser.parse_args()
    curves = [accuracy_over_time(Run(path)) for path in arguments.runs]
    for curve in curves:
        label = next(name for name in curve[0] if name != "minutes")
        print(f"{label}: " + "  ".join(f"{row['minutes']:.1f} min {row[label]:.4f}" for row in curve))
    labels = tuple(dict.fromkeys(name for curve in curves for row in curve for name in row if name != "minutes"))
    plots.save_curves(arguments.out, [row for curve in curves for row in curve], {"Accuracy": labels}, x="minutes")
    print(arguments.out)


if __name__ == "__main__":
    main()
