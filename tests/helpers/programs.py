"""Programs as a user runs them: in a process, and with bad input."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from karpa_tf import cli

ROOT = Path(__file__).parents[2]


def run_program(*words):
    """Runs `python -m ...` in the test's own folder, with a home of its own and TensorFlow as loud as it is."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(Path.cwd())}
    environment.pop("TF_CPP_MIN_LOG_LEVEL")
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=environment, timeout=200)


def refusal(capsys, function):
    """Returns what a program says whose `function` ends with code 2; nothing may have been made."""
    before = _made()
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        function()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert _made() == before
    return error


def _made():
    return {path for path in Path().rglob("*") if "cache" not in path.parts}
