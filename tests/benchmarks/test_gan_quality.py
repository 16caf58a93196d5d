"""The benchmark of GANs after the same time."""

import sys

import pytest

from apps import train_gan
from benchmarks import gan_quality
from karpa_tf import cli


def test_epochs_follow_from_the_speed():
    # 4 steps per epoch of 50 images; the first step was slow. 200 images/s are an epoch per second.
    rows = [{"step": 1, "epoch": 0.25, "images_per_second": 3.0}]
    rows += [{"step": step, "epoch": step / 4, "images_per_second": 200.0} for step in range(2, 10)]
    assert gan_quality.count_epochs(rows, 50, minutes=2) == 120
    assert gan_quality.count_epochs(rows, 50, minutes=0.001) == 1


@pytest.mark.parametrize("study", gan_quality.STUDIES)
def test_the_programs_know_the_flags_of_every_study(study):
    for words in gan_quality.STUDIES[study].values():
        config = cli.parse(train_gan.PRESETS, "", implied="images", args=words.split())
        assert config.model.image_size == {"digits": 16, "images": 64, "cifar10": 32}.get(study, 28)


@pytest.mark.slow
def test_each_gan_is_trained_and_evaluated(monkeypatch, capfd):
    monkeypatch.setattr(gan_quality, "MEASURED_SECONDS", 8)
    words = "digits --minutes 0.02 --only DCGAN -n 200 --flags --filters 8 4 --discriminator-filters 4 8"
    monkeypatch.setattr(sys, "argv", ["gan_quality", *words.split()])
    for _ in range(2):  # The second time nothing is trained.
        gan_quality.main()
        said = capfd.readouterr().out.strip().splitlines()
        assert said[-1].startswith("DCGAN, seed 0, ") and "Fréchet distance" in said[-1] and "(n = 200)" in said[-1]
