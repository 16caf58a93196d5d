"""Plots the validation accuracy of runs of train_classifier over the epochs, and prints it with the training time.

$ python -m benchmarks.accuracy_curves runs/train_classifier/... [more runs] --out curves.png

The time is that of the training steps, computed from `images_per_second` in metrics.csv, without validation. It
includes slowdowns by other programs on the machine.
"""

import argparse
from pathlib import Path

from karpa_tf import plots
from karpa_tf.training.run import Run


def accuracy_curve(run):
    """Returns a label for a `Run`, and a list of dicts with `epoch`, `minutes` and the accuracy under that label."""
    config, rows, seconds, last_step = run.read_config(), [], 0.0, 0
    label = f"{config['epochs']} epochs, seed {config['seed']}"
    for row in run.read_metrics():
        seconds += (row["step"] - last_step) * config["batch_size"] / row["images_per_second"]
        last_step = row["step"]
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
    all_rows = [row for rows in curves.values() for row in rows]
    plots.save_curves(arguments.out, all_rows, {"Accuracy": tuple(curves)}, x="epoch")
    print(arguments.out)


if __name__ == "__main__":
    main()
