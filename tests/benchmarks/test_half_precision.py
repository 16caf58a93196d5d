"""What the comparison of precisions runs and says."""

import importlib
from pathlib import Path

import pytest

from benchmarks import half_precision
from karpa_tf import cli


def test_the_difference_of_the_means_stands_beside_the_deviation_between_seeds():
    found = {
        "float32": [{"accuracy": value} for value in (0.9, 0.92, 0.94)],
        "mixed_bfloat16": [{"accuracy": value} for value in (0.93, 0.93, 0.93)],
    }
    assert half_precision.line("digits", "accuracy", found) == (
        "digits, accuracy: float32 0.9, 0.92, 0.94 (mean 0.92); mixed_bfloat16 0.93, 0.93, 0.93 (mean 0.93); "
        "difference +0.01, deviation between seeds 0.01"
    )


def test_sentences_are_learned_on_the_language_model_of_the_same_precision_and_seed(tmp_path, monkeypatch):
    started = []

    def start(command, **options):
        started.append(command)
        run = Path(command[command.index("--run") + 1])
        (run / "eval").mkdir(parents=True)
        (run / "eval" / "report.json").write_text('{"accuracy": 0.5}')

    monkeypatch.setattr(half_precision.subprocess, "run", start)
    works = {name: words for name, words, _ in half_precision.works(sentences=tmp_path)}
    assert [*works] == ["classifier", "gan", "mlm", "sentences"]
    for name in ("mlm", "sentences"):
        assert half_precision._run(tmp_path, name, works[name], "mixed_bfloat16", 2) == {"accuracy": 0.5}
    learned, tuned = started
    assert tuned[tuned.index("--init") + 1] == learned[learned.index("--run") + 1]
    assert tuned[tuned.index("--seed") + 1] == "2"


@pytest.mark.parametrize(("cifar", "sentences"), [(None, None), (Path("images"), Path("texts"))])
def test_every_command_line_is_one_that_its_program_takes(cifar, sentences):
    for _, words, _ in half_precision.works(cifar, sentences):
        app = importlib.import_module(f"apps.{words[0]}")
        flags = [str(word) for word in words[1:]]
        assert cli.parse(app.PRESETS, app.__doc__, args=flags).epochs > 0
