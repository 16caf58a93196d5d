"""The profile of a benchmark's work."""

import pytest

from benchmarks import time_spent
from benchmarks.ours import gan
from benchmarks.works import Contender, Work
from karpa_tf.configs.gan import DCGANConfig

TINY = DCGANConfig(latent_dim=8, channels=1, base_size=4, filters=(8, 4), discriminator_filters=(4, 8))


def test_the_page_says_where_the_time_of_ten_steps_went():
    contender = Contender(lambda folder, precision: gan.program(folder, precision, TINY, 4), "ours")
    page = time_spent.profiled(Work("A small GAN", "images", 4, {"karpa_tf float32": contender}), "float32")
    rows = dict(line.strip("| ").split(" | ", 1) for line in page.splitlines() if line.startswith("| "))
    assert "A small GAN, karpa_tf in float32." in page
    assert rows["all"].endswith("100.0%")
    assert {"while traced", "before", "matrix products and convolutions", "normalization"} <= rows.keys()
    assert "optimizer updates and moving averages" in rows


@pytest.mark.parametrize(("words", "says"), [(["inference"], "inference_1 trains nothing"), (["vgg"], "no work 'vgg'")])
def test_what_trains_nothing_is_refused(words, says, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["time_spent", *words])
    with pytest.raises(SystemExit, match="2"):
        time_spent.main()
    assert says in capsys.readouterr().err
