"""Draws the validation accuracy of runs of train_classifier over their epochs, and prints it with the time it took.

$ python -m benchmarks.accuracy_curves runs/train_classifier/... [more runs] --out curves.png

Time is that of the training steps alone, from `images_per_second` in metrics.csv; measuring after each epoch is left
out. Whatever else ran on the machine is in it.
"""

import argparse
from pathlib import Path

from karpa_tf import plots
from karpa_tf.training.run import Run


def accuracy_curve(run):
    """Returns a run's label, and rows with `epoch`, `minutes` and, under the label, the accuracy after each epoch."""
    config, rows, seconds, before = run.read_config(), [], 0.0, 0
    label = f"{config['epochs']} epochs, seed {config['seed']}"
    for row in run.read_metrics():
        seconds += (row["step"] - before) * config["batch_size"] / row["images_per_second"]
        before = row["step"]
        if "val_accuracy" in row:
            rows.append({"epoch": row["epoch"], "minutes": seconds / 60, label: row["val_accuracy"]})
    return label, rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("curves.png"))
    arguments = parser.parse_args()
    curves = dict(accuracy_curve(Run(path)) for path in arguments.runs)
    for label, rows in curves.items():
        print(f"{label}: " + "  ".join(f"{row['minutes']:.1f} min {row[label]:.4f}" for row in rows))
    rows = [row for some in curves.values() for row in some]
    plots.save_curves(arguments.out, rows, {"Accuracy": tuple(curves)}, x="epoch")
    print(arguments.out)


if __name__ == "__main__":
    main()
