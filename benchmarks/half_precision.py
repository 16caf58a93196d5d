"""Whether programs learn as well in mixed_bfloat16 as in float32: both, with the same three seeds, each from scratch.

$ python -m benchmarks.half_precision                               scikit-learn's digits, and Python's documentation
$ python -m benchmarks.half_precision --cifar DIR --sentences DIR   also images in folders, and sentences in TSV files

DIR are what train_classifier and finetune_text take as --data. What is measured is each program's own report on
held-out data; of the GAN, how surely another network reads a thousand of its digits, and the share of the rarest. On
two cores it takes 30 minutes, and half an hour more for images and sentences.
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
    parser.add_argument("works", nargs="*", metavar="WORK", help="classifier, gan, mlm, cifar, sentences; none is all")
    parser.add_argument("--cifar", type=Path, metavar="DIR", help="CIFAR-10 as images in folders: two epochs")
    parser.add_argument("--sentences", type=Path, metavar="DIR", help="SST-2 as train.tsv, dev.tsv and test.tsv")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where runs are kept, and gone on with")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = (arguments.keep or Path(folder)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for name, words, measures in works(arguments.cifar, arguments.sentences):
            if not arguments.works or name in arguments.works:
                found = {
                    precision: [_run(folder, name, words, precision, seed) for seed in SEEDS]
                    for precision in PRECISIONS
                }
                for measure in measures:
                    print(line(name, measure, found), flush=True)


def works(cifar=None, sentences=None):
    """Returns (name, words that start the program, what is measured) of every work that there is data for."""
    found = [
        ("classifier", ["train_classifier", "digits"], ("accuracy", "log_loss")),
        ("gan", ["train_gan", "digits"], ("top_probability", "rarest_digit")),
        ("mlm", ["train_mlm", "tiny"], ("perplexity", "accuracy")),
    ]
    if cifar:
        images = ["--data", cifar.absolute(), "--epochs", "2", "--adam-learning-rate", "1e-3"]
        found.append(("cifar", ["train_classifier", "cifar10", *images], ("accuracy", "log_loss")))
    if sentences:
        # On the model that `mlm` has made in the same precision, of the same seed.
        tune = ["--data", sentences.absolute(), "--init", "mlm", "--epochs", "2", "--sequence-length", "48"]
        found.append(("sentences", ["finetune_text", *tune], ("accuracy", "log_loss")))
    return found


def _run(folder, name, words, precision, seed):
    """Trains, or takes what was trained before, and returns the figures of one run, a dict."""
    run = folder / f"{name}-{precision}-{seed}"
    words = [str(folder / f"mlm-{precision}-{seed}") if word == "mlm" else str(word) for word in words]
    words += ["--precision", precision, "--seed", str(seed), "--run", str(run), "--export-dir", str(folder / "models")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", f"apps.{words[0]}", *words[1:]], env=environment, cwd=folder, check=True)
    if name != "gan":
        return json.loads((run / "eval" / "report.json").read_text())
    from apps import sample_gan
    from benchmarks import drawn_digits

    images = sample_gan.run(sample_gan.Config(run=str(run), n=1000))
    certainty, shares = drawn_digits.read(images)
    return {"top_probability": certainty, "rarest_digit": float(shares.min())}


def line(name, measure, found):
    """Returns in words what came out for every seed, the means, and the mean difference beside what seeds make.

    Args:
        name: of the work.
        measure: of the figures.
        found: dict of lists of dicts of figures, in the order of `SEEDS`, by precision.
    """
    values = {precision: [figures[measure] for figures in some] for precision, some in found.items()}
    means = {precision: statistics.mean(some) for precision, some in values.items()}
    shown = "; ".join(
        f"{precision} {', '.join(f'{value:.4g}' for value in some)} (mean {means[precision]:.4g})"
        for precision, some in values.items()
    )
    deviation = statistics.mean(statistics.stdev(some) for some in values.values())
    difference = means["mixed_bfloat16"] - means["float32"]
    return f"{name}, {measure}: {shown}; difference {difference:+.3g}, deviation between seeds {deviation:.3g}"


if __name__ == "__main__":
    main()
