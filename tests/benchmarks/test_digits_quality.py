"""The default preset draws digits: all of them, and clear ones. Trains for minutes."""

import dataclasses
import time

import pytest

from apps import sample_gan, train_gan
from benchmarks import drawn_digits


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_run_draws_all_digits_so_that_they_can_be_read(seed):
    start = time.perf_counter()
    train_gan.run(dataclasses.replace(train_gan.PRESETS["digits"], seed=seed, run="run"))
    seconds = time.perf_counter() - start
    certainty, shares = drawn_digits.read(sample_gan.run(sample_gan.Config(run="run", n=1000)))
    print(
        f"\nseed {seed}: {seconds:.0f} s, mean top probability {certainty:.3f}, "
        f"digits with a share of 3 % or more: {(shares >= 0.03).sum()}, smallest share {shares.min():.3f}"
    )
    assert (shares >= 0.03).sum() >= 8
    assert certainty > 0.8
    assert seconds < 180
