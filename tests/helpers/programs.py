"""Runs programs as a user does: in a process, and with invalid input."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from karpa_tf import cli

ROOT = Path(__file__).parents[2]


def run_program(*words):
    """Runs `python -m ...` in the current folder, with that folder as home and with TensorFlow's log messages."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(Path.cwd())}
    environment.pop("TF_CPP_MIN_LOG_LEVEL")
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=environment, timeout=200)


def refusal(capsys, function):
    """Returns the error message of `function`, which must exit with code 2 and create no files."""
    before = _list_files()
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        function()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert _list_files() == before
    return error


def _list_files():
    return {path for path in Path().rglob("*") if "cache" not in path.parts}
