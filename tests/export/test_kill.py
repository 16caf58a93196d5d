"""Exporters that are killed: what a server that looks at the folder sees, and what the next export does.

A process that has imported TensorFlow forks a child for every kill. Python tells an audit hook of each thing that it
is about to do with a file; the child kills itself before the one of a given number, or after a time, so that it also
dies while TensorFlow writes.
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
INNER = ("os.remove", "os.rmdir")  # Told with the last part of the path alone where a whole folder is removed.


def made(number):
    variable = tf.Variable(np.full(1000, number, np.float32))
    answer = tf.function(
        lambda any: {"number": variable[-1] + 0 * tf.reduce_sum(any)},
        input_signature=[tf.TensorSpec((None,), tf.float32, name="any")],
    )
    requests = {"serving_default": [{"any": np.zeros(1, np.float32)}]}
    return versions.Export("image_classification", {"serving_default": answer}, requests)


def export(number, before, seconds):
    seen = []

    def watch(event, arguments):
        inside = any(base in str(argument) for argument in arguments)
        if event in INNER or (event in WATCHED and inside):
            if len(seen) == before:
                os.kill(os.getpid(), signal.SIGKILL)
            seen.append(event)

    sys.addaudithook(watch)
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM, which ends the process no less abruptly.
    versions.write(base, made(number), keep=2)
    print(json.dumps({"seen": len(seen)}), flush=True)


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
    """Exports in processes of their own, and looks at what they leave below one base."""

    def __init__(self, base):
        self.base, self.answers, self.exports = base, {}, 0
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", EXPORTER, str(base)]
        self.process = subprocess.Popen(
            words, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def export(self, before=-1, seconds=None):
        """Runs an export that is killed before the thing of that number that it does with a file, or after a time.

        Returns:
            Whether it was killed, and how many things it did if it was not.
        """
        self.exports += 1
        said = self._run([[self.exports, before, seconds]])
        return said["killed"][0], said.get("seen")

    def export_at_once(self, count):
        """Runs so many exports at the same time."""
        self.exports += count
        self._run([[self.exports - place, -1, None] for place in range(count)])

    def _run(self, jobs):
        self.process.stdin.write(json.dumps(jobs) + "\n")
        self.process.stdin.flush()
        said = {}
        while "killed" not in said:
            said |= json.loads(self.process.stdout.readline())
        assert "error" not in said, said
        return said

    def look(self):
        """Checks that every version that is to be seen is whole, answers, and is what it was; returns their numbers."""
        numbers = list_versions(self.base)
        for number in numbers:
            folder = self.base / str(number)
            assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == FILES
            assert json.loads((folder / "assets.extra" / "card.json").read_text())["version"] == number
            loaded = tf.saved_model.load(str(folder))
            answer = int(loaded.signatures["serving_default"](any=tf.zeros(1))["number"])
            assert self.answers.setdefault(number, answer) == answer
        return numbers


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
    made = Exporter(tmp_path / "model")
    yield made
    made.process.stdin.close()
    made.process.wait(60)


def kill_and_go_on(exporter, moments, times):
    """Kills an export at every moment, given as a share of what an export does with files, and after every time."""
    (tmp_path := exporter.base).mkdir()
    for _ in range(3):
        killed, things = exporter.export()
        assert not killed
    assert things > 30
    kills = 0
    for number in sorted({round(moment * (things - 1)) for moment in moments}):
        killed, _ = exporter.export(before=number)
        assert killed
        kills += killed
        assert len(exporter.look()) >= 2
    for seconds in times:
        kills += exporter.export(seconds=seconds)[0]
        assert len(exporter.look()) >= 2
    newest = exporter.look()[-1]
    assert not exporter.export()[0]
    assert exporter.look() == [newest, newest + 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(newest), str(newest + 1)], "left-overs"
    return kills


@pytest.mark.slow
def test_a_killed_exporter_leaves_no_half_version_in_sight_and_the_next_cleans_up(exporter):
    assert kill_and_go_on(exporter, [*(n / 6 for n in range(6)), *(1 - n / 50 for n in range(8))], [0.1]) >= 14


@pytest.mark.slow
def test_exporters_at_work_at_once_each_publish_a_version_and_retire_what_is_old(exporter):
    exporter.export()
    exporter.export_at_once(4)
    numbers = exporter.look()
    assert numbers[-1] == 5 and 1 not in numbers and len(set(exporter.answers.values())) == len(numbers) >= 2
    exporter.export()
    assert exporter.look() == [5, 6]
    assert sorted(path.name for path in exporter.base.iterdir()) == ["5", "6"]


@pytest.mark.slow
def test_an_exporter_is_killed_before_everything_that_it_does(exporter):
    assert kill_and_go_on(exporter, [n / 300 for n in range(301)], [n / 100 for n in range(1, 60)]) > 60
