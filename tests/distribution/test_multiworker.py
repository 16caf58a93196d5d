"""Two processes that train one model, compared with one process; and the end of one when the other is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import worker_program

from karpa_tf.distribution.launch import find_free_addresses

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "helpers" / "worker_program.py"


def run_two_workers(folder, victim, names):
    """Runs the program in two processes and returns their exit codes, stderr and addresses."""
    addresses = find_free_addresses(2)
    processes = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(task)}
        program = [sys.executable, str(PROGRAM), str(folder), str(victim), *names]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(program, env=environment, **streams))
    try:
        # The other worker must end within a minute after the killed one.
        processes[victim].wait(200)
        errors = [process.communicate(timeout=60)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], errors, addresses


def assert_names_lost_worker(victim, codes, errors, addresses):
    assert codes == [-signal.SIGKILL if index == victim else 75 for index in range(2)], "".join(errors)[-3000:]
    assert f"Worker {victim} ({addresses[victim]}) is gone, and" in errors[1 - victim]


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """Returns the results of two workers, their folder, and the result of `run_two_workers` with worker 0 killed."""
    folder = tmp_path_factory.mktemp("two_workers")
    end = run_two_workers(folder, 0, list(worker_program.TRAININGS))
    files = [folder / f"results-{index}.json" for index in range(2)]
    assert all(file.exists() for file in files), "".join(end[1])[-3000:]
    return [json.loads(file.read_text()) for file in files], folder, end


def load_weights(folder, name, index):
    with np.load(folder / f"{name}-{index}.npz") as arrays:
        return list(arrays.values())


@pytest.mark.parametrize("name", worker_program.TRAININGS)
def test_two_workers_train_as_one_process_does(two_workers, name):
    results, folder, _ = two_workers
    trainer, history, report = worker_program.TRAININGS[name](tf.distribute.get_strategy())
    for one, other in zip(load_weights(folder, name, 0), load_weights(folder, name, 1), strict=True):
        np.testing.assert_array_equal(one, other)
    for expected, weight in zip(trainer.weights, load_weights(folder, name, 0), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-5, err_msg=expected.path)
    for worker in results:
        assert worker[name]["history"].keys() == history.keys() and worker[name]["report"].keys() == report.keys()
        for key, values in history.items():
            np.testing.assert_allclose(worker[name]["history"][key], values, rtol=0, atol=1e-5, err_msg=key)
        for key, value in report.items():
            np.testing.assert_allclose(worker[name]["report"][key], value, rtol=0, atol=1e-5, err_msg=key)


def test_collectives_between_two_workers(two_workers):
    for worker in two_workers[0]:
        assert worker["all_reduce_max"] == [3, 2.5, -1]
        assert [type(number) for number in worker["all_reduce_max"]] == [int, float, int]
        assert worker["broadcast_object"] == {"step": 7, "best": 0.1, "name": "é"}
        floats, integers, booleans, halves, state = worker["broadcast_variables"]
        assert floats == [[float(np.float32(0.1))] * 3] * 2 and integers == [[-7] * 3, [2**31 - 1] * 3]
        assert booleans == [[1] * 3] * 2 and halves == [[float(np.float16(0.1))] * 3] * 2
        assert state == [5, 0]
        assert worker["mean"] == 1.5
        assert worker["compilation_error"].startswith("--jit on cannot compile sums over several workers on CPUs")
        assert worker["replicas"] == 2 and worker["devices"].startswith("2 workers of 1 x CPU (")


def test_dicts_of_strings_that_the_workers_do_not_divide_are_trained_on(two_workers):
    for worker in two_workers[0]:
        assert worker["letters"] == [6, 9, 8]


def test_keras_still_needs_the_repair(two_workers):
    # `AlreadyBuilt._make_function` can be removed when this fails (keras#20585).
    for worker in two_workers[0]:
        assert "Invalid reduction dimension 0 for input with 0 dimensions" in worker["keras_error"]


def test_the_other_worker_names_worker_0_when_that_is_killed(two_workers):
    assert_names_lost_worker(0, *two_workers[2])


def test_worker_0_names_the_other_when_that_is_killed(tmp_path):
    assert_names_lost_worker(1, *run_two_workers(tmp_path, 1, ["classifier"]))


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        addresses = [f"127.0.0.1:{used.getsockname()[1]}", "127.0.0.1:1"]
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
        imports = "from karpa_tf import cli\nfrom karpa_tf.distribution import strategy\n"
        program = imports + "with cli.handle_errors(): strategy.make_strategy('auto')"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(task)}
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert f"Worker 0 cannot listen on {addresses[0]}: the port is in use" in done.stderr
