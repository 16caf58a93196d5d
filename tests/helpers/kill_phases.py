"""Kills the training programs in every phase, from reading the data to the report, and checks what they leave.

    python tests/helpers/kill_phases.py                         # all programs, 100 kills
    python tests/helpers/kill_phases.py train_gan --kills 12    # one of them

A process that has imported TensorFlow forks a child for every start. Python calls an audit hook before each file
operation, and the path tells the phase. The child ends itself before an operation with a random number in a given
phase, or a random time later, and so while C++ code writes: by SIGKILL, by SIGALRM, which is as abrupt, or by SIGTERM.
After every kill, what readers can see must be complete; after the last start there must be the same files as after an
uninterrupted run, in the run folder, the cache and the exported models, and the same numbers in them.
"""

import argparse
import collections
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from kill_runs import arrays_of, metrics_of
from PIL import Image

ROOT = Path(__file__).parents[2]

COMMON = ("--data", "data", "--run", "run", "--export-dir", "models", "--cache-dir", "cache", "--deterministic")
IMAGES = ("smoke", "--epochs", "2", "--batch-size", "16", "--save-steps", "2", "--log-every", "1")
PROGRAMS = {
    "train_classifier": (
        *IMAGES,
        "--image-size",
        "8",
        "--keep-checkpoints",
        "1",
        "--early-stopping",
        "5",
        "--no-baseline",
    ),
    "train_gan": (*IMAGES, "--keep-checkpoints", "1"),
    "train_mlm": (
        *("smoke", "--epochs", "1", "--batch-size", "8", "--save-steps", "2", "--log-every", "1"),
        *("--vocabulary-size", "50", "--held-out-fraction", "0.3", "--keep-checkpoints", "1"),
    ),
}
PHASES = {"data": 0.5, "cache": 0.5, "record": 0.2, "log": 0.2, "checkpoint": 0.2, "export": 1.0, "report": 1.0}
"""Phases in the order of the kills, and how far in each to kill, as a fraction of the file operations of an
uninterrupted run: a resumed run has fewer. `record` is `run.json` and what else describes the run."""

STARTER = """
import importlib, json, os, pkgutil, runpy, signal, sys
import keras, matplotlib.pyplot, sklearn.linear_model, sklearn.metrics, tensorflow, tokenizers
import karpa_tf

for module in pkgutil.walk_packages(karpa_tf.__path__, "karpa_tf."):
    if "serving" not in module.name and "onnx" not in module.name:
        importlib.import_module(module.name)

FOLDERS = {"data": "data", "cache": "cache", "models": "export"}
IN_RUN = {"checkpoints": "checkpoint", "tensorboard": "log", "metrics.csv": "log", "samples": "log", "eval": "report"}
IN_RUN |= {"curves.png": "report", "report.html": "report", ".report.html.writing": "report"}
RELATIVE = ("os.remove", "os.rmdir")  # `shutil.rmtree` calls them with the last part of the path only.
WATCHED = ("open", "os.mkdir", "os.rename", "os.scandir", "shutil.rmtree", *RELATIVE)


def watch(folder, phase, number, sends, seconds, counts):
    last = ["record"]

    def find_phase(event, path):
        if not isinstance(path, str):
            return None
        parts = os.path.relpath(os.path.abspath(path), folder).split(os.sep)
        if parts[0] == "run":
            return IN_RUN.get(parts[1] if len(parts) > 1 else "", "record")
        return FOLDERS.get(parts[0]) or (last[0] if event in RELATIVE and os.sep not in path else None)

    def audit(event, arguments):
        found = find_phase(event, arguments[0]) if event in WATCHED else None
        if not found:
            return
        last[0] = found
        counts[found] = counts.get(found, 0) + 1
        if found == phase and counts[found] == number + 1:
            if seconds:
                signal.setitimer(signal.ITIMER_REAL, seconds)
            else:
                os.kill(os.getpid(), sends)

    sys.addaudithook(audit)


def start(job):
    counts, code = {}, 1
    output = os.open(job["output"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(job["folder"])
    sys.argv = [job["app"], *job["flags"]]
    watch(job["folder"], *job["kill"], counts)
    try:
        runpy.run_module("apps." + job["app"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
    if code == 0:
        print(json.dumps(counts))
    sys.stdout.flush()
    os._exit(code)


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        start(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

NO_KILL = ("", 0, 0, 0)


class Starter:
    """Starts a program in child processes that work in one folder; another holds what an uninterrupted run has left."""

    def __init__(self, app, folder):
        self.app, self.work, self.complete, self.output = app, folder / "work", folder / "complete", folder / "output"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-c", STARTER],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        (self.work / "data").mkdir(parents=True)
        make_data(app, self.work / "data")
        self.counts = json.loads(self.start().splitlines()[-1])
        self.complete.mkdir()
        for name in ("run", "cache", "models"):
            (self.work / name).rename(self.complete / name)

    def begin_again(self):
        """Checks what the last start, which came to its end, has left, and removes it."""
        check_complete(self.work, self.complete)
        for name in ("run", "cache", "models"):
            shutil.rmtree(self.work / name)

    def start(self, kill=NO_KILL):
        """Runs the program; returns what it printed if it came to its end, or None if it was killed.

        Args:
            kill: phase; number of the file operation in it; signal; seconds after which SIGALRM ends it, or 0.
        """
        flags = [*PROGRAMS[self.app], *COMMON]
        job = {"app": self.app, "flags": flags, "folder": str(self.work), "kill": kill, "output": str(self.output)}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        code, printed = int(self.process.stdout.readline()), self.output.read_text()
        if code == 0:
            return printed
        expected = (-signal.SIGALRM,) if kill[3] else (75,) if kill[2] == signal.SIGTERM else (-signal.SIGKILL,)
        assert code in expected, f"{self.app}, {kill}: ended with {code}\n{printed}"
        if code == 75:
            assert "Traceback" not in printed and "Stopped by SIGTERM" in printed.splitlines()[-1], printed
        return None


def make_data(app, folder):
    """Writes a few texts, or images of two classes."""
    rng = np.random.default_rng(0)
    if app == "train_mlm":
        lines = [" ".join(rng.choice([f"w{n}" for n in range(30)], 60)) for _ in range(60)]
        for part in range(3):
            (folder / f"{part}.txt").write_text("\n\n".join(lines[part::3]) + "\n")
        return
    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(48):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / name / f"{number:02}.png")


def list_files(folder):
    """Returns the relative paths of all files and folders, also hidden ones, without those of TensorBoard."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(path for path in paths if "tensorboard/" not in path)


def digests(folder):
    return {
        path: hashlib.sha256((folder / path).read_bytes()).digest()
        for path in list_files(folder)
        if (folder / path).is_file()
    }


def check_visible(folder, complete):
    """Checks after a kill that what readers see is complete: cache, versions, checkpoints, and JSON files."""
    for name in ("cache", "models/*"):
        for parent in folder.glob(name):
            for visible in (path for path in parent.iterdir() if not path.name.startswith(".")):
                expected = complete / visible.relative_to(folder)
                assert expected.exists(), f"{visible} should not exist"
                assert list_files(visible) == list_files(expected)
                assert name != "cache" or digests(visible) == digests(expected)
    for checkpoint in folder.glob("run/checkpoints/step-*"):
        checksums = json.loads((checkpoint / "checksums.json").read_text())
        found = {name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() for name in checksums}
        assert found == checksums, checkpoint
    for file in [*folder.glob("run/run.json"), *folder.glob("run/checkpoints/best.json")]:
        json.loads(file.read_text())
    if (folder / "run/checkpoints/best.json").exists():
        best = json.loads((folder / "run/checkpoints/best.json").read_text())
        weights = folder / "run/checkpoints" / best["file"]
        assert hashlib.sha256(weights.read_bytes()).hexdigest() == best["sha256"]


def check_complete(folder, complete):
    """Checks after the last start that nothing is lost and nothing left behind."""
    for name in ("run", "cache", "models"):
        assert list_files(folder / name) == list_files(complete / name)
    assert digests(folder / "cache") == digests(complete / "cache")
    one, other = arrays_of(folder), arrays_of(complete)
    assert one.keys() == other.keys() and one
    assert [name for name in one if one[name].tobytes() != other[name].tobytes()] == []
    assert metrics_of(folder) == metrics_of(complete)
    assert read_steps(folder / "run" / "tensorboard") == read_steps(complete / "run" / "tensorboard")


def read_steps(folder):
    """Returns for each tag the steps that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), {"tensors": 0})
    events.Reload()
    return {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}


def choose_kills(starter, count, rng):
    """Yields `count` kills in the order of the phases, as many in each, by SIGKILL, SIGALRM or SIGTERM."""
    phases = sorted(itertools.islice(itertools.cycle(PHASES), count), key=list(PHASES).index)
    for phase in phases:
        number = rng.randrange(max(1, int(starter.counts[phase] * PHASES[phase])))
        sends, seconds = rng.choice(
            [(signal.SIGKILL, 0), (signal.SIGKILL, rng.uniform(0.001, 0.1)), (signal.SIGTERM, 0)]
        )
        yield phase, number, sends, seconds


def kill(app, count, seed):
    """Kills a program `count` times, and then runs it to its end; begins again in an empty folder after every 14 kills.

    Args:
        app: name of the program.
        count: number of kills.
        seed: random seed of when to kill.

    Returns:
        Number of kills by phase and signal, a `collections.Counter`.
    """
    rng, killed = random.Random(f"{app} {seed}"), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        starter = Starter(app, Path(folder))
        while killed.total() < count:
            for place in choose_kills(starter, min(count - killed.total(), 2 * len(PHASES)), rng):
                while starter.start(place) is not None:  # It did not come to that place: what a kill before had done.
                    starter.begin_again()
                    place = (place[0], place[1] // 2, *place[2:])
                killed[place[0], "SIGALRM" if place[3] else place[2].name] += 1
                check_visible(starter.work, starter.complete)
            assert starter.start() is not None
            starter.begin_again()
        starter.process.stdin.close()
        starter.process.wait(60)
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("apps", nargs="*", metavar="app", help=", ".join(PROGRAMS))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    apps, total = arguments.apps or list(PROGRAMS), collections.Counter()
    for index, app in enumerate(apps):
        killed = kill(app, (arguments.kills + index) // len(apps), arguments.seed)
        total += killed
        print(f"{app}: {killed.total()} kills; nothing is lost, and nothing left behind", flush=True)
    for phase in PHASES:
        print(f"{phase:10}", *(f"{name} {total[phase, name]:3}" for name in ("SIGKILL", "SIGALRM", "SIGTERM")))


if __name__ == "__main__":
    main()
