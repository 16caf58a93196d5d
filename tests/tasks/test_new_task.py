"""The worked example of docs/design.md: its diff adds a task to a copy of the project, and every tool takes it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source import ROOT


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project with the diff of the document applied."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("apps", "karpa_tf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    diff = re.search(r"```diff\n(.*?\n)```", (ROOT / "docs" / "design.md").read_text(), re.DOTALL)[1]
    subprocess.run(["git", "apply", "-p1"], input=diff, text=True, cwd=folder, check=True)
    return folder


TRAIN = "apps.train_parity --epochs 5 --run run --precision auto"
PROGRAM = """
import contextlib, io, json, re, runpy, sys


def run(line):
    sys.argv = line.split()
    with contextlib.redirect_stdout(io.StringIO()) as output:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    return output.getvalue()


trained = run(sys.argv[1])
resume = re.search(r"^To resume after a stop: python -m (.*)$", trained, re.MULTILINE)[1]
lines = (resume, "apps.export --run run --last", "apps.inspect_model run")
json.dump([trained, *map(run, lines)], open("outputs.json", "w"))
"""
"""Runs programs of the copy in one process, which imports TensorFlow once."""


def test_a_task_is_added_by_three_files_and_one_line(copy):
    changed = [
        path.relative_to(copy)
        for path in copy.rglob("*.py")
        if not (ROOT / path.relative_to(copy)).exists()
        or path.read_text() != (ROOT / path.relative_to(copy)).read_text()
    ]
    assert {str(path) for path in changed} == {
        "apps/train_parity.py",
        "karpa_tf/configs/parity.py",
        "karpa_tf/tasks/__init__.py",
        "karpa_tf/tasks/parity.py",
    }
    ours, theirs = ((root / "karpa_tf/tasks/__init__.py").read_text().splitlines() for root in (ROOT, copy))
    assert len(theirs) == len(ours) + 1 and set(ours) <= set(theirs)


@pytest.mark.slow
def test_the_new_task_trains_resumes_exports_and_is_inspected(copy):
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, "-c", PROGRAM, TRAIN], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    trained, resumed, exported, inspected = json.loads(Path("outputs.json").read_text())
    assert "the quality of train_parity in bfloat16 has not been measured" in trained
    assert json.loads(Path("run/eval/report.json").read_text())["accuracy"] > 0.8
    assert "resumed after epoch 5" in resumed
    assert "serving_default: image_bytes -> classes, scores" in exported
    card = json.loads(Path("saved_models/parity/2/assets.extra/card.json").read_text())
    assert (card["task"], card["form"], card["model"]) == ("parity of digits", "image", "32 hidden units")
    assert "Run of train_parity, parity of digits: 32 hidden units" in inspected
