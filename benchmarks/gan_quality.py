"""How good GANs are after the same time on this machine: trains each for so many minutes, and evaluates it.

$ python -m benchmarks.gan_quality digits --minutes 2 --features RUN
$ python -m benchmarks.gan_quality mnist --minutes 20 --features RUN --flags --data-dir DIR
$ python -m benchmarks.gan_quality images --minutes 30 --features RUN --seeds 0 1 2 --flags --data DIR

RUN is the run folder of a classifier of such images, by whose features the Fréchet distance is measured. The number of
epochs follows from the speed, which is measured first, so that learning rates can fall over the whole run; it is noted
in --out, where runs are resumed. Nothing else should run on the machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from karpa_tf.errors import STOPPED
from karpa_tf.training.run import Run

ROOT = Path(__file__).parents[1]

_RESIDUAL_28 = "--channels 1 --base-size 7 --filters 32 32 --discriminator-filters 32 32 32"
STUDIES = {
    "digits": {"DCGAN": "digits", "projection": "digits_projection"},
    "mnist": {
        "DCGAN": "mnist",
        "WGAN-GP": f"wgan_gp --data mnist {_RESIDUAL_28}",
        "SNGAN": f"sngan --data mnist {_RESIDUAL_28}",
        "SAGAN": f"sagan --data mnist {_RESIDUAL_28} --attention-size 14",
    },
    "conditional": {"projection": "mnist_projection"},
    "images": {"preset images": "images", "preset images_dcgan": "images_dcgan"},
    "augmentation": {name: f"mnist --augment {name}" for name in ("none", "diffaugment", "ada")},
    "cifar10": {"preset images": "images --data cifar10 --base-size 4 --filters 128 64 32 --penalty-weight 0.1"},
}
"""Presets and flags of `train_gan` by the names of studies and of what they compare."""

MEASURED_SECONDS = 30


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--minutes", type=float, required=True, help="of training, for each seed of each GAN")
    parser.add_argument("--features", default="pixels", help="run folder of a classifier, or pixels")
    parser.add_argument("-n", type=int, default=10_000, help="images to compare")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", help="names of GANs of the study; default: all")
    parser.add_argument("--out", type=Path, default=Path("gan_quality"), help="folder for the runs")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="last: more flags of train_gan")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name, words in STUDIES[arguments.study].items():
            if not arguments.only or name in arguments.only:
                folder = arguments.out / f"{arguments.study}-{name.replace(' ', '-')}"
                flags = [*words.split(), "--precision", "auto", *arguments.flags]
                epochs = find_epochs(folder, flags, arguments.minutes)
                report = train(folder, [*flags, "--epochs", str(epochs)], seed, arguments.features, arguments.n)
                print(format_row(name, seed, epochs, report), flush=True)


def find_epochs(folder, flags, minutes):
    """Returns how many epochs take so long, measured once for a folder.

    Args:
        folder: path that names the runs; what is measured is kept beside them.
        flags: preset and flags of `train_gan`.
        minutes: minutes of training.
    """
    file = folder.with_name(folder.name + "-epochs.json")
    if not file.exists():
        run = folder.with_name(folder.name + "-speed")
        words = [*flags, "--epochs", "100000", "--resume", "never", "--log-every", "5", "--save-minutes", "0"]
        command = [sys.executable, "-m", "apps.train_gan", *words, "--run", str(run)]
        process = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL)
        try:
            wait_for_rows(Run(run).metrics_file, process)
            time.sleep(MEASURED_SECONDS)
        finally:
            process.terminate()
            code = process.wait()
        if code != STOPPED:
            raise SystemExit(f"train_gan {' '.join(flags)} failed.")
        rows, config = Run(run).read_metrics(), Run(run).read_config()
        images_per_step = config["batch_size"] * max(config["critic_steps"], 1)
        file.write_text(json.dumps({"minutes": minutes, "epochs": count_epochs(rows, images_per_step, minutes)}))
    noted = json.loads(file.read_text())
    if noted["minutes"] != minutes:
        raise SystemExit(f"{file} was measured for {noted['minutes']} minutes; choose another --out.")
    return noted["epochs"]


def wait_for_rows(file, process):
    """Waits until the first steps of a training, which take the time of compilation, are in its `metrics.csv`."""
    while process.poll() is None and not (file.exists() and len(file.read_text().splitlines()) > 2):
        time.sleep(0.2)


def count_epochs(rows, images_per_step, minutes):
    """Returns how many epochs take so many minutes, at least 1, at the median speed of the last rows.

    Args:
        rows: of `metrics.csv`.
        images_per_step: real images in a step.
        minutes: minutes of training.
    """
    images_per_second = statistics.median(row["images_per_second"] for row in rows[-5:])
    steps_per_epoch = rows[-1]["step"] / rows[-1]["epoch"]
    return max(round(60 * minutes * images_per_second / images_per_step / steps_per_epoch), 1)


def train(folder, flags, seed, features, n):
    """Trains a GAN with a seed, or resumes it, evaluates it, and returns the report."""
    run = folder.with_name(f"{folder.name}-{seed}")
    words = ["apps.train_gan", *flags, "--seed", str(seed), "--run", str(run), "--export-dir", str(run / "models")]
    subprocess.run([sys.executable, "-m", *words], env=_environment(), check=True)
    words = ["apps.evaluate_gan", "--run", str(run), "--features", features, "-n", str(n)]
    subprocess.run([sys.executable, "-m", *words], env=_environment(), check=True)
    return json.loads((run / "eval" / "images" / "report.json").read_text())


def format_row(name, seed, epochs, report):
    """Returns a line about a report of `evaluate_gan`."""
    figures = [f"Fréchet distance {report['frechet_distance']:.3g}", f"recall {report['recall']:.2f}"]
    if "class_accuracy" in report:
        figures.append(f"class recognized {report['class_accuracy']:.1%}")
    figures += [f"{row['name']} {row['frechet_distance']:.3g}" for row in report["baselines"]]
    return f"{name}, seed {seed}, {epochs} epochs: {'; '.join(figures)} (n = {report['count']:,})"


def _environment():
    return os.environ | {"PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    main()
