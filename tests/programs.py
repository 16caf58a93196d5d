"""Programs as a user runs them: in a process, with bad input, and with the plug pulled."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from karpa_tf import checkpoints, cli

ROOT = Path(__file__).parents[1]


def run_program(*words):
    """Runs `python -m ...` in the test's own folder, with a home of its own and TensorFlow as loud as it is."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(Path.cwd())}
    environment.pop("TF_CPP_MIN_LOG_LEVEL")
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=environment, timeout=200)


def refusal(capsys, function):
    """Returns what a program says whose `function` ends with code 2; nothing may have been made."""
    before = _made()
    with pytest.raises(SystemExit) as caught, cli.errors():
        function()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert _made() == before
    return error


def interrupted(monkeypatch, function, epoch):
    """Calls a function that trains, and pulls the plug when `epoch`, counted from 0, begins."""

    class PulledPlug(Exception):
        pass

    class Interrupted(checkpoints.Checkpoint):
        def on_epoch_begin(self, begun, logs=None):
            if begun == epoch:
                raise PulledPlug

    with monkeypatch.context() as patch, pytest.raises(PulledPlug):
        patch.setattr(checkpoints, "Checkpoint", Interrupted)
        function()


def assert_same_metrics(one, other):
    """Holds two `Run`s to the same rows of `metrics.csv`, but for their speed."""
    rows = [
        [{name: value for name, value in row.items() if not name.endswith("_per_second")} for row in run.read_metrics()]
        for run in (one, other)
    ]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for first, second in zip(*rows, strict=True):
        assert first.keys() == second.keys()
        np.testing.assert_allclose(list(first.values()), list(second.values()), rtol=1e-3, atol=1e-4)


def _made():
    return {path for path in Path().rglob("*") if "cache" not in path.parts}
