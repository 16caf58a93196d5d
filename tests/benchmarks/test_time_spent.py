"""The profile of a workload."""

import pytest

from benchmarks import time_spent
from benchmarks.ours import gan
from benchmarks.program import Contender, Workload
from karpa_tf.configs.dcgan import DCGANConfig

TINY = DCGANConfig(latent_dim=8, channels=1, base_size=4, filters=(8, 4), discriminator_filters=(4, 8))


def test_the_summary_divides_the_time_of_the_steps():
    contender = Contender(lambda folder, precision: gan.make_program(folder, precision, TINY, 4), "ours")
    summary = time_spent.profile(Workload("A small GAN", "images", 4, {"karpa_tf float32": contender}), "float32")
    rows = dict(line.strip("| ").split(" | ", 1) for line in summary.splitlines() if line.startswith("| "))
    assert "A small GAN, karpa_tf in float32." in summary
    assert rows["all"].endswith("100.0%")
    assert {"while traced", "before", "matrix products and convolutions", "normalization"} <= rows.keys()
    assert "optimizer updates and moving averages" in rows


@pytest.mark.parametrize(
    ("name", "message"), [("inference", "inference_1 does not train a model"), ("vgg", "no workload 'vgg'")]
)
def test_a_workload_that_does_not_train_is_an_error(name, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["time_spent", name])
    with pytest.raises(SystemExit, match="2"):
        time_spent.main()
    assert message in capsys.readouterr().err
