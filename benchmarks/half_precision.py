"""Quality of models trained in mixed_bfloat16 and in float32, from scratch, with the same three seeds.

$ python -m benchmarks.half_precision                               scikit-learn's digits, and Python's documentation
$ python -m benchmarks.half_precision --cifar DIR --sentences DIR   also images in folders, and sentences in TSV files

Each DIR is a value of --data of train_classifier and finetune_text. The metrics are those of each program's report on
held-out data. For the GAN they come from a classifier of 1,000 generated digits: its mean top probability, and the
fraction of the rarest digit. On two cores it takes 30 minutes, and half an hour more for images and sentences.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRECISIONS = ("float32", "mixed_bfloat16")
SEEDS = (0, 1, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", help="classifier, gan, mlm, cifar, sentences; default: all with data"
    )
    parser.add_argument("--cifar", type=Path, metavar="DIR", help="CIFAR-10 as images in folders, for two epochs")
    parser.add_argument("--sentences", type=Path, metavar="DIR", help="SST-2 as train.tsv, dev.tsv and test.tsv")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="folder to keep the runs in; they are resumed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = (arguments.keep or Path(folder)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for name, command, metrics in list_tasks(arguments.cifar, arguments.sentences):
            if not arguments.tasks or name in arguments.tasks:
                reports = {
                    precision: [_run(folder, name, command, precision, seed) for seed in SEEDS]
                    for precision in PRECISIONS
                }
                for metric in metrics:
                    print(summarize(name, metric, reports), flush=True)


def list_tasks(cifar=None, sentences=None):
    """Returns a list of (name, program with its flags, names of metrics), of the tasks that have data."""
    tasks = [
        ("classifier", ["train_classifier", "digits"], ("accuracy", "log_loss")),
        ("gan", ["train_gan", "digits"], ("top_probability", "rarest_digit")),
        ("mlm", ["train_mlm", "tiny"], ("perplexity", "accuracy")),
    ]
    if cifar:
        images = ["--data", cifar.absolute(), "--epochs", "2", "--adam-learning-rate", "1e-3"]
        tasks.append(("cifar", ["train_classifier", "cifar10", *images], ("accuracy", "log_loss")))
    if sentences:
        # Starts from the model of task mlm in the same precision with the same seed.
        flags = ["--data", sentences.absolute(), "--init", "mlm", "--epochs", "2", "--sequence-length", "48"]
        tasks.append(("sentences", ["finetune_text", *flags], ("accuracy", "log_loss")))
    return tasks


def _run(folder, name, command, precision, seed):
    """Trains, or resumes an earlier run, and returns its metrics, a dict."""
    run = folder / f"{name}-{precision}-{seed}"
    app, *flags = [str(folder / f"mlm-{precision}-{seed}") if word == "mlm" else str(word) for word in command]
    flags += ["--precision", precision, "--seed", str(seed), "--run", str(run), "--export-dir", str(folder / "models")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", f"apps.{app}", *flags], env=environment, cwd=folder, check=True)
    if name != "gan":
        return json.loads((run / "eval" / "report.json").read_text())
    from apps import sample_gan
    from benchmarks.digit_classifier import score_digits

    images = sample_gan.run(sample_gan.Config(run=str(run), n=1000))
    top_probability, fractions = score_digits(images)
    return {"top_probability": top_probability, "rarest_digit": float(fractions.min())}


def summarize(name, metric, reports):
    """Returns a line with a metric for every seed, its means, their difference, and the deviation between seeds.

    Args:
        name: name of the task.
        metric: name of the metric.
        reports: dict from precision to a list of dicts of metrics, one for each of `SEEDS`.
    """
    values = {precision: [report[metric] for report in runs] for precision, runs in reports.items()}
    means = {precision: statistics.mean(numbers) for precision, numbers in values.items()}
    results = "; ".join(
        f"{precision} {', '.join(f'{value:.4g}' for value in numbers)} (mean {means[precision]:.4g})"
        for precision, numbers in values.items()
    )
    deviation = statistics.mean(statistics.stdev(numbers) for numbers in values.values())
    difference = means["mixed_bfloat16"] - means["float32"]
    return f"{name}, {metric}: {results}; difference {difference:+.3g}, deviation between seeds {deviation:.3g}"


if __name__ == "__main__":
    main()
