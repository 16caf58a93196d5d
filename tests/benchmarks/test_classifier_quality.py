"""The default classifier reads digits, and MNIST where it is prepared. Trains for minutes."""

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from apps import train_classifier
from karpa_tf.configs.classifier_presets import PRESETS

SHARED = Path(os.environ.get("KARPA_DATA", Path(__file__).parents[3] / "shared" / "data"))


def accuracy_and_seconds(config):
    start = time.perf_counter()
    run = train_classifier.run(dataclasses.replace(config, run="run"))
    seconds = time.perf_counter() - start
    report = json.loads((run.eval / "report.json").read_text())
    print(
        f"\n{config.name}, seed {config.seed}: {seconds:.0f} s, "
        f"test accuracy {report['accuracy']:.4f} of {report['count']}, ECE {report['ece']:.3f}"
    )
    return report["accuracy"], seconds


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_run_reads_98_percent_of_the_digits_within_a_minute(seed):
    accuracy, seconds = accuracy_and_seconds(dataclasses.replace(PRESETS["digits"], seed=seed))
    assert accuracy >= 0.98
    assert seconds < 60


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "tfds" / "mnist").is_dir(), reason="MNIST is not prepared beside this checkout")
def test_the_small_network_reads_99_2_percent_of_mnist_within_five_epochs():
    config = dataclasses.replace(PRESETS["mnist"], data_dir=str(SHARED / "tfds"))
    accuracy, _ = accuracy_and_seconds(config)
    assert accuracy >= 0.992 and config.epochs <= 5
