"""Quality and diversity of the digits that the default GAN generates. Trains for minutes."""

import dataclasses
import time

import pytest

from apps import sample_gan, train_gan
from benchmarks.digit_classifier import score_digits


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_the_default_preset_generates_all_digits_clearly(seed):
    start = time.perf_counter()
    train_gan.run(dataclasses.replace(train_gan.PRESETS["digits"], seed=seed, run="run"))
    seconds = time.perf_counter() - start
    top_probability, fractions = score_digits(sample_gan.run(sample_gan.Config(run="run", n=1000)))
    print(
        f"\nseed {seed}: {seconds:.0f} s, mean top probability {top_probability:.3f}, "
        f"digits that are 3 % or more: {(fractions >= 0.03).sum()}, smallest fraction {fractions.min():.3f}"
    )
    assert (fractions >= 0.03).sum() >= 8
    assert top_probability > 0.8
    assert seconds < 180
