"""The run folder: what was asked, on what, and what came of it."""

import csv
import dataclasses
import datetime
import fcntl
import json
import os
import secrets
import socket
import sys
from pathlib import Path

import yaml

from karpa_tf.configs.run import MAY_CHANGE, NOT_SAVED
from karpa_tf.distribution import cluster
from karpa_tf.errors import UserError
from karpa_tf.system.environment import environment
from karpa_tf.system.files import write_text

LOCK = ".lock"
_LOCKED = {}
"""Open lock files by path: the system frees a lock when its process ends, however it ends, or closes the file."""


class Run:
    """Paths in a run folder, and the files that people read.

    Args:
        path: the folder.
        writes: False for a worker whose chief does; `record` then does nothing.
    """

    def __init__(self, path, writes=True):
        self.path, self.writes = Path(path), writes
        self.config_file = self.path / "config.yaml"
        self.record_file = self.path / "run.json"
        self.metrics_file = self.path / "metrics.csv"
        self.curves_file = self.path / "curves.png"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.eval = self.path / "eval"
        self.profile = self.path / "profile"
        self.examples = self.path / "examples"

    def update_metadata(self, **values):
        """Adds facts to `run.json`."""
        if self.writes:
            write_text(self.record_file, json.dumps(self.metadata() | values, indent=2) + "\n")

    def metadata(self):
        """Returns what `run.json` holds."""
        return json.loads(self.record_file.read_text()) if self.record_file.exists() else {}

    def read_config(self):
        """Returns `config.yaml` as a dict; raises `UserError` if the folder holds no run."""
        if not self.config_file.is_file():
            raise UserError(f"--run {self.path} holds no run: there is no {self.config_file.name} in it.")
        return yaml.safe_load(self.config_file.read_text())

    def read_metrics(self):
        """Returns the rows of `metrics.csv` as dicts of numbers; what a row leaves empty is left out."""
        with open(self.metrics_file, newline="") as file:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def planned_folder(config, app):
    """Returns the path of the run folder that `config` asks for; nothing is made."""
    time = os.environ.get(cluster.STARTED) or datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    return Path(config.run).expanduser() if config.run else Path("runs") / app / f"{time}-{config.name}"


def open_run(config, app):
    """Returns the `Run` of a config: a new folder, or the one that holds the same run already; the chief alone writes.

    Args:
        config: the resolved config of the app, a frozen dataclass.
        app: name of the program, the folder below `runs/`.

    The folder belongs to this process until it ends.

    Raises:
        UserError: the folder cannot be written, holds something else, or a run of another config, or another process is
            at work in it.
    """
    run = Run(planned_folder(config, app), cluster.is_chief())
    if not run.writes:
        return run
    text = config_text(config)
    try:
        if run.config_file.exists():
            _lock(run)
        if config.resume == "never" and run.path.exists():
            _move_aside(run.path)
            _LOCKED.pop(run.path.absolute() / LOCK, None)
        if run.config_file.exists():
            _require_same(run, text)
        elif run.path.exists() and any(run.path.iterdir()):
            raise UserError(f"--run {run.path} is not empty and holds no run; choose a new or an empty folder.")
        else:
            run.path.mkdir(parents=True, exist_ok=True)
            _lock(run)
            write_text(run.config_file, text)
        for folder in (run.checkpoints, run.samples, run.eval):
            folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The run folder {run.path} cannot be written ({error.strerror}); choose another --run."
        ) from error
    started = datetime.datetime.now().isoformat(timespec="seconds")
    run_id = run.metadata().get("id", secrets.token_hex(8))
    run.update_metadata(id=run_id, app=app, argv=sys.argv, started=started, precision=config.precision, **environment())
    return run


def print_resume_command(run, app, step, steps_per_epoch):
    """Prints where a `Run` of the program `app` is, how far it has come, and the line that goes on with it."""
    epochs, steps = divmod(step, steps_per_epoch)
    further = f" and {steps} steps" if steps else ""
    print(f"Run folder {run.path}" + (f", continued after epoch {epochs}{further}" if step else ""))
    print(f"To go on after a stop: python -m apps.{app} --config {run.config_file} --run {run.path}")


def export_once(run, export):
    """Returns the folder of a `Run`'s SavedModel; where it has none, `export` writes one and returns its folder."""
    saved_model = run.metadata().get("saved_model")
    if not (saved_model and Path(saved_model).is_dir()):
        saved_model = str(export())
        run.update_metadata(saved_model=saved_model)
    return saved_model


def config_text(config):
    """Returns a config as the text of `config.yaml`, without what says only where and how loudly to run."""
    values = {key: value for key, value in dataclasses.asdict(config).items() if key not in NOT_SAVED}
    return yaml.safe_dump(_plain(values), sort_keys=False)


def _move_aside(path):
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
    print(f"The earlier run was moved to {aside}")


def _lock(run):
    """Takes the folder of a `Run` for this process.

    Raises:
        UserError: another process has it.
    """
    path = run.path.absolute() / LOCK
    if path in _LOCKED:
        return
    file = open(path, "a+")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise UserError(
            f"--run {run.path} is in use by {file.read().strip() or 'another process'}; wait for it, end it, or choose "
            "another --run."
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    _LOCKED[path] = file


def _require_same(run, text):
    old, new = run.read_config(), yaml.safe_load(text)
    differences = _differences(old, new)
    if differences:
        raise UserError(
            f"--run {run.path} holds a run of another config ({'; '.join(differences)}); "
            "choose another --run, or --resume never to move it aside."
        )


def _differences(old, new, prefix=""):
    found = []
    for key in sorted((old.keys() | new.keys()) - set(MAY_CHANGE)):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key} was {a}, now {b}")
    return found


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
