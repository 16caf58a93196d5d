"""The launcher, with small programs as workers."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAD = "import json, os, signal, sys, time; task = json.loads(os.environ['TF_CONFIG']); n = task['task']['index']\n"


def start(flags, program):
    command = [sys.executable, "-m", "karpa_tf.distribution.launch", *flags, "--", sys.executable, "-c", HEAD + program]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, bufsize=1
    )


def run_launcher(flags, program):
    """Returns the exit code, the sorted lines of stdout, and the lines of stderr."""
    process = start(flags, program)
    out, err = process.communicate(timeout=30)
    return process.returncode, sorted(out.splitlines()), err.splitlines()


def test_every_worker_gets_the_cluster_and_its_lines_a_prefix():
    code, out, err = run_launcher(
        ["--workers", "3"], "print(json.dumps(task['cluster'])); print('oops', n, file=sys.stderr)"
    )
    assert code == 0
    assert [line[:11] for line in out] == ["[worker 0] ", "[worker 1] ", "[worker 2] "]
    clusters = {line[11:] for line in out}
    assert len(clusters) == 1
    addresses = json.loads(clusters.pop())["worker"]
    assert len(set(addresses)) == 3 and all(address.startswith("127.0.0.1:") for address in addresses)
    assert sorted(err) == [f"[worker {index}] oops {index}" for index in range(3)]


def test_the_first_worker_that_fails_ends_the_others_and_gives_the_exit_code():
    code, _, err = run_launcher(["--workers", "3"], "sys.exit(7) if n == 1 else time.sleep(60)")
    assert code == 7
    assert err == ["[launch] worker 1 ended with exit code 7; ending the others"]


def test_a_worker_that_does_not_end_is_killed():
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\n"
    program = ignore + "if n == 0: time.sleep(1); os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)"
    code, _, err = run_launcher(["--grace", "0.3"], program)
    assert code == 128 + signal.SIGKILL
    assert err == [
        "[launch] worker 0 was ended by SIGKILL; ending the others",
        "[launch] worker 1 did not end in 0.3 s and is killed",
    ]


def test_all_workers_are_restarted_on_other_ports_until_none_fails(tmp_path):
    program = f"""
file = {str(tmp_path)!r} + '/' + str(n)
times = os.path.exists(file) + os.path.exists(file + 'b')
open(file + 'b' * times, 'w').close()
print(task['cluster']['worker'][n])
sys.exit(3 if times < 2 and n else 0)
"""
    code, out, err = run_launcher(["--workers", "2", "--restarts", "2"], program)
    assert code == 0 and len({line for line in out if "[worker 1]" in line}) == 3
    assert [line for line in err if "restarting" in line] == [
        "[launch] restarting all 2 workers (1 of 2)",
        "[launch] restarting all 2 workers (2 of 2)",
    ]


def test_a_restarted_cluster_has_the_time_of_its_first_start():
    program = "print(os.environ['KARPA_STARTED']); time.sleep(1.1); sys.exit(4)"
    _, out, _ = run_launcher(["--workers", "1", "--restarts", "1"], program)
    assert len(out) == 2 and out[0] == out[1] and re.fullmatch(r"\[worker 0\] [\d-]{17}", out[0])


def test_no_more_restarts_than_requested():
    code, out, _ = run_launcher(["--workers", "1", "--restarts", "1"], "print('here'); sys.exit(4)")
    assert code == 4 and len(out) == 2


def test_workers_that_stopped_after_saving_are_not_restarted():
    code, out, _ = run_launcher(["--restarts", "3"], "print('here'); time.sleep(0.3 * n); print('saved'); sys.exit(75)")
    assert code == 75
    assert out == ["[worker 0] here", "[worker 0] saved", "[worker 1] here", "[worker 1] saved"]


def test_the_exit_code_of_a_failure_wins_over_that_of_a_stop():
    code, _, err = run_launcher([], "time.sleep(0.3 * n); sys.exit(6 if n else 75)")
    assert code == 6 and err == ["[launch] worker 1 ended with exit code 6"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_every_worker_and_end_the_restarts(number):
    program = f"""
def leave(number, frame):
    print('got', signal.Signals(number).name); sys.exit(75 if number != signal.SIGUSR1 else 0)
signal.signal({int(number)}, leave); print('ready'); time.sleep(60)
"""
    process = start(["--restarts", "3"], program)
    for _ in range(2):
        assert "ready" in process.stdout.readline()
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert sorted(out.splitlines()) == [f"[worker {index}] got {number.name}" for index in range(2)]
    assert process.returncode == (0 if number == signal.SIGUSR1 else 75)


def test_each_worker_is_pinned_to_its_own_cores():
    code, out, _ = run_launcher(["--threads", "1"], "time.sleep(0.3); print(*os.sched_getaffinity(0))")
    cores = [line.split("] ")[1] for line in out]
    assert code == 0 and all(" " not in core for core in cores)
    assert len(set(cores)) == min(2, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0", "--", "true"], "argument --workers: must be a number from 1; received 0; see"),
        (["--workers", "two", "--", "true"], "argument --workers: invalid number value: 'two'; see"),
        (["--worker", "2", "--", "true"], "unrecognized arguments: --worker 2; see"),
        (["--workers", "2"], "the command to run must follow `--`"),
        (["--", "no-such-program"], "no-such-program cannot be started: No such file or directory."),
    ],
)
def test_wrong_flags_are_answered_in_one_sentence_with_code_2(words, message):
    done = subprocess.run(
        [sys.executable, "-m", "karpa_tf.distribution.launch", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1


def test_the_launcher_imports_nothing_heavy():
    program = "import sys, karpa_tf.distribution.launch; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert not {"numpy", "tensorflow", "keras", "tyro", "yaml"} & set(done.stdout.split())
