"""The programs that the comparison of precisions runs, and its summary."""

import importlib
from pathlib import Path

import pytest

from benchmarks import half_precision
from karpa_tf import cli


def test_the_summary_has_the_difference_of_the_means_and_the_deviation_between_seeds():
    reports = {
        "float32": [{"accuracy": value} for value in (0.9, 0.92, 0.94)],
        "mixed_bfloat16": [{"accuracy": value} for value in (0.93, 0.93, 0.93)],
    }
    assert half_precision.summarize("digits", "accuracy", reports) == (
        "digits, accuracy: float32 0.9, 0.92, 0.94 (mean 0.92); mixed_bfloat16 0.93, 0.93, 0.93 (mean 0.93); "
        "difference +0.01, deviation between seeds 0.01"
    )


def test_sentences_are_fine_tuned_from_the_language_model_of_the_same_precision_and_seed(tmp_path, monkeypatch):
    commands = []

    def run_program(command, **options):
        commands.append(command)
        run = Path(command[command.index("--run") + 1])
        (run / "eval").mkdir(parents=True)
        (run / "eval" / "report.json").write_text('{"accuracy": 0.5}')

    monkeypatch.setattr(half_precision.subprocess, "run", run_program)
    tasks = {name: command for name, command, _ in half_precision.list_tasks(sentences=tmp_path)}
    assert [*tasks] == ["classifier", "gan", "mlm", "sentences"]
    for name in ("mlm", "sentences"):
        assert half_precision._run(tmp_path, name, tasks[name], "mixed_bfloat16", 2) == {"accuracy": 0.5}
    pretraining, fine_tuning = commands
    assert fine_tuning[fine_tuning.index("--init") + 1] == pretraining[pretraining.index("--run") + 1]
    assert fine_tuning[fine_tuning.index("--seed") + 1] == "2"


@pytest.mark.parametrize(("cifar", "sentences"), [(None, None), (Path("images"), Path("texts"))])
def test_every_program_accepts_its_flags(cifar, sentences):
    for _, (app, *flags), _ in half_precision.list_tasks(cifar, sentences):
        program = importlib.import_module(f"apps.{app}")
        assert cli.parse(program.PRESETS, program.__doc__, args=[str(flag) for flag in flags]).epochs > 0
