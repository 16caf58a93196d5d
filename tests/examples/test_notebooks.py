"""The notebooks in examples/: committed without outputs, and run as they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read_cells(path):
    return json.loads(path.read_text())["cells"]


@each_notebook
def test_a_notebook_has_no_outputs_and_unique_ids(path):
    cells = read_cells(path)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_and_its_last_cell_finds_what_it_should(path):
    code = ["".join(cell["source"]) for cell in read_cells(path) if cell["cell_type"] == "code"]
    assert "assert " in code[-1]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
