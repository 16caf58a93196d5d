"""Programs that are killed, stopped and started twice, as processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kill_phases
import kill_runs
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", kill_runs.PROGRAMS)
def test_a_run_killed_at_random_steps_ends_with_the_same_bits(name):
    kills = 10 if name.startswith("train_") else 4
    assert "arrays of the checkpoint are equal" in kill_runs.compare(name, kills, seed=0)


@pytest.mark.slow
def test_a_run_killed_in_every_phase_loses_nothing_and_leaves_nothing():
    kills = kill_phases.kill("train_gan", count=len(kill_phases.PHASES), seed=0)
    assert {phase for phase, _ in kills} == set(kill_phases.PHASES)


def start(*words):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    program = [sys.executable, "-m", "apps.train_gan", "smoke", "--run", "run", "--export-dir", "models", *words]
    return subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process, text):
    """Returns once a line of what a program prints has `text` in it."""
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(process.stderr.read())


@pytest.mark.slow
def test_a_stopped_program_exits_with_75_and_the_same_command_resumes_it():
    first = start("--epochs", "400")
    wait_for(first, "epoch 10/400")
    second = start("--epochs", "400")
    _, error = second.communicate(timeout=120)
    assert second.returncode == 2 and f"--run run is in use by process {first.pid} on " in error
    first.send_signal(signal.SIGTERM)
    start_time = time.monotonic()
    _, error = first.communicate(timeout=60)
    assert first.returncode == 75 and "Stopped by SIGTERM after step" in error and error.count("\n") == 1
    assert time.monotonic() - start_time < 30
    other = start("--epochs", "401")
    _, error = other.communicate(timeout=120)
    assert other.returncode == 2 and "epochs was 400, now 401" in error
    again = start("--epochs", "400", "--save-minutes", "1", "--keep-checkpoints", "1")
    wait_for(again, "resumed after epoch")
    again.send_signal(signal.SIGUSR1)
    again.communicate(timeout=120)
    assert again.returncode == 75
