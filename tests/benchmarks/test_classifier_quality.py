"""Accuracy of the default classifier on the digits, and of the preset for MNIST. Trains for minutes."""

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from apps import train_classifier
from karpa_tf.configs.classifier_presets import PRESETS

SHARED = Path(os.environ.get("KARPA_DATA", Path(__file__).parents[3] / "shared" / "data"))


def train(config):
    """Returns the test accuracy, and the seconds of the whole program."""
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
@pytest.mark.parametrize("seed", [0])
def test_the_default_preset_reaches_98_percent_on_the_digits_within_a_minute(seed):
    accuracy, seconds = train(dataclasses.replace(PRESETS["digits"], seed=seed))
    assert accuracy >= 0.98
    assert seconds < 60


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "tfds" / "mnist").is_dir(), reason="MNIST is not prepared; set KARPA_DATA")
def test_the_small_network_reaches_99_2_percent_on_mnist_within_five_epochs():
    config = dataclasses.replace(PRESETS["mnist"], data_dir=str(SHARED / "tfds"))
    accuracy, _ = train(config)
    assert accuracy >= 0.992 and config.epochs <= 5
