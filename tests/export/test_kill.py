"""Exports that are killed: a server never sees an incomplete version, and the next export cleans up.

A process that has imported TensorFlow forks a child for every export. Python calls an audit hook before each file
operation; the child kills itself before the one with a given number. It may also be killed after a given time, and so
while TensorFlow writes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from karpa_tf.export.meta_graph import list_versions

ROOT = Path(__file__).parents[2]

EXPORTER = """
import json, os, signal, sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from karpa_tf.export import versions

base = sys.argv[1]
WATCHED = ("open", "os.mkdir", "os.chmod", "os.rename", "os.scandir", "shutil.rmtree")
RELATIVE = ("os.remove", "os.rmdir")  # `shutil.rmtree` calls them with the last part of the path only.


def make_export(number):
    variable = tf.Variable(np.full(1000, number, np.float32))
    function = tf.function(
        lambda any: {"number": variable[-1] + 0 * tf.reduce_sum(any)},
        input_signature=[tf.TensorSpec((None,), tf.float32, name="any")],
    )
    requests = {"serving_default": [{"any": np.zeros(1, np.float32)}]}
    return versions.Export("constant", {"serving_default": function}, requests)


def export(number, kill_before, seconds):
    events = []

    def audit(event, arguments):
        is_below_base = any(base in str(argument) for argument in arguments)
        if event in RELATIVE or (event in WATCHED and is_below_base):
            if len(events) == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)
            events.append(event)

    sys.addaudithook(audit)
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends the process as abruptly as SIGKILL.
    versions.write(base, make_export(number), keep=2)
    print(json.dumps({"operations": len(events)}), flush=True)


def start(job):
    child = os.fork()
    if child == 0:
        try:
            export(*job)
        except BaseException as error:
            print(json.dumps({"error": repr(error)}), flush=True)
        os._exit(0)
    return child


for line in sys.stdin:
    children = [start(job) for job in json.loads(line)]
    print(json.dumps({"killed": [os.WIFSIGNALED(os.waitpid(child, 0)[1]) for child in children]}), flush=True)
"""


class Exporter:
    """Runs exports in child processes, and checks the versions in one folder."""

    def __init__(self, base):
        self.base, self.numbers, self.exports = base, {}, 0
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", EXPORTER, str(base)],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def export(self, kill_before=-1, seconds=None):
        """Runs an export that is killed before the file operation of this number, or after a time.

        Returns:
            Whether it was killed, and the number of file operations if it was not.
        """
        self.exports += 1
        result = self._run([[self.exports, kill_before, seconds]])
        return result["killed"][0], result.get("operations")

    def export_concurrently(self, count):
        """Runs this number of exports at the same time."""
        self.exports += count
        self._run([[self.exports - index, -1, None] for index in range(count)])

    def _run(self, jobs):
        self.process.stdin.write(json.dumps(jobs) + "\n")
        self.process.stdin.flush()
        result = {}
        while "killed" not in result:
            result |= json.loads(self.process.stdout.readline())
        assert "error" not in result, result
        return result

    def check(self):
        """Checks that every visible version is complete, can be loaded and has not changed; returns the versions."""
        versions = list_versions(self.base)
        for version in versions:
            folder = self.base / str(version)
            assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == FILES
            assert json.loads((folder / "assets.extra" / "card.json").read_text())["version"] == version
            loaded = tf.saved_model.load(str(folder))
            number = int(loaded.signatures["serving_default"](any=tf.zeros(1))["number"])
            assert self.numbers.setdefault(version, number) == number
        return versions


FILES = {
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets.extra/card.json",
    "assets.extra/MODEL_CARD.md",
    "assets.extra/tf_serving_warmup_requests",
}


@pytest.fixture
def exporter(tmp_path):
    exporter = Exporter(tmp_path / "model")
    yield exporter
    exporter.process.stdin.close()
    exporter.process.wait(60)


def kill_and_continue(exporter, fractions, times):
    """Kills exports, checks the folder after each, and runs a last export.

    Args:
        exporter: an `Exporter`.
        fractions: when to kill, as fractions of the file operations of an export.
        times: when to kill, in seconds after the start.

    Returns:
        Number of killed exports.
    """
    (base := exporter.base).mkdir()
    for _ in range(3):
        killed, operations = exporter.export()
        assert not killed
    assert operations > 30
    kills = 0
    for number in sorted({round(fraction * (operations - 1)) for fraction in fractions}):
        killed, _ = exporter.export(kill_before=number)
        assert killed
        kills += killed
        assert len(exporter.check()) >= 2
    for seconds in times:
        kills += exporter.export(seconds=seconds)[0]
        assert len(exporter.check()) >= 2
    newest = exporter.check()[-1]
    assert not exporter.export()[0]
    assert exporter.check() == [newest, newest + 1]
    assert sorted(path.name for path in base.iterdir()) == [str(newest), str(newest + 1)], "temporary folders are left"
    return kills


@pytest.mark.slow
def test_a_killed_export_leaves_no_incomplete_version_and_the_next_one_cleans_up(exporter):
    assert kill_and_continue(exporter, [*(n / 6 for n in range(6)), *(1 - n / 50 for n in range(8))], [0.1]) >= 14


@pytest.mark.slow
def test_concurrent_exports_each_publish_a_version_and_remove_old_ones(exporter):
    exporter.export()
    exporter.export_concurrently(4)
    versions = exporter.check()
    assert versions[-1] == 5 and 1 not in versions and len(set(exporter.numbers.values())) == len(versions) >= 2
    exporter.export()
    assert exporter.check() == [5, 6]
    assert sorted(path.name for path in exporter.base.iterdir()) == ["5", "6"]


@pytest.mark.slow
def test_an_export_may_be_killed_before_any_file_operation(exporter):
    assert kill_and_continue(exporter, [n / 300 for n in range(301)], [n / 100 for n in range(1, 60)]) > 60
