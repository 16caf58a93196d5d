"""The run folder: config, metadata, metrics, checkpoints and reports of one training run."""

import csv
import dataclasses
import datetime
import fcntl
import hashlib
import json
import os
import secrets
import shlex
import socket
import sys
from pathlib import Path

import yaml

from karpa_tf.configs.run import NOT_SAVED
from karpa_tf.distribution import cluster
from karpa_tf.errors import UserError
from karpa_tf.system.environment import read_environment
from karpa_tf.system.files import remove_leftovers, write_text
from karpa_tf.training.identity import find_changed_data, find_differences

LOCK = ".lock"
_open_locks = {}
"""Open lock files by path: the system releases a lock when its process ends, in whatever way, or closes the file."""


class Run:
    """Paths in a run folder, and the files that people read.

    Args:
        path: the folder.
        writes: False for all workers but the chief; `update_metadata` then does nothing.
    """

    def __init__(self, path, writes=True):
        self.path, self.writes = Path(path), writes
        self.config_file = self.path / "config.yaml"
        self.metadata_file = self.path / "run.json"
        self.metrics_file = self.path / "metrics.csv"
        self.curves_file = self.path / "curves.png"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.eval = self.path / "eval"
        self.profile = self.path / "profile"
        self.examples = self.path / "examples"

    def update_metadata(self, **values):
        """Adds values, which JSON can hold, to `run.json`."""
        if self.writes:
            write_text(self.metadata_file, json.dumps(self.metadata() | values, indent=2) + "\n")

    def metadata(self):
        """Returns the content of `run.json`, a dict."""
        return json.loads(self.metadata_file.read_text()) if self.metadata_file.exists() else {}

    def read_config(self, flag="--run"):
        """Returns the content of `config.yaml`, a dict; raises `UserError`, naming `flag`, if it is no run."""
        if not self.config_file.is_file():
            raise UserError(f"{flag} {self.path} holds no run: it has no {self.config_file.name}.")
        return yaml.safe_load(self.config_file.read_text())

    def read_metrics(self):
        """Returns the rows of `metrics.csv` as dicts of numbers, without empty cells."""
        with open(self.metrics_file, newline="") as file:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def planned_folder(config, app):
    """Returns the path of the run folder for a config of the program `app`, without creating it."""
    time = os.environ.get(cluster.STARTED) or datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    return Path(config.run).expanduser() if config.run else Path("runs") / app / f"{time}-{config.name}"


def open_run(config, app, task=None, data=None):
    """Returns the `Run` of a config, in a new folder or in the one that holds the same run; only the chief writes.

    The folder is locked for this process until it ends.

    Args:
        config: a `RunConfig` without open choices.
        app: name of the program; the folder below `runs/`.
        task: name of the task, for `run.json`.
        data: what `run.json` says about the data, a dict. Of a run that is resumed, its entries `fingerprint` must be
            equal.

    Raises:
        UserError: the folder cannot be written, holds something else or a run with another config or other data, or is
            in use by another process.
    """
    run = Run(planned_folder(config, app), cluster.is_chief())
    if not run.writes:
        return run
    text = config_text(config)
    try:
        if not (config.run or cluster.STARTED in os.environ):  # Several workers expect the name that they were given.
            run = Run(_make_new_folder(run.path))
        if run.config_file.exists():
            _lock(run)
        if config.resume == "never" and _is_used(run.path):
            _move_aside(run.path)
            _open_locks.pop(run.path.absolute() / LOCK, None)
        if run.config_file.exists():
            _require_same(run, text, config_text(type(config)()), data or {})
            write_text(run.config_file, text)  # with the present values of `MAY_CHANGE`
        elif _is_used(run.path):
            raise UserError(f"--run {run.path} is not empty and holds no run; choose a new or an empty folder.")
        else:
            run.path.mkdir(parents=True, exist_ok=True)
            _lock(run)
            write_text(run.config_file, text)
        for folder in (run.path, run.checkpoints):
            remove_leftovers(folder)
        for folder in (run.samples, run.eval):
            folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The run folder {run.path} cannot be written ({error.strerror}); choose another --run."
        ) from error
    started = datetime.datetime.now().isoformat(timespec="seconds")
    run_id = run.metadata().get("id", secrets.token_hex(8))
    program = {"task": task, "app": app, "argv": sys.argv, "data": data or {}}
    run.update_metadata(id=run_id, **program, started=started, precision=config.precision, **read_environment())
    return run


def describe_init(init, *weights_files):
    """Returns what `run.json` says about pretrained weights: {}, or `init` with a fingerprint, as for data.

    Args:
        init: a run folder, whose fingerprint is its id, so that it may be moved; another folder; a name; or None.
        *weights_files: files of weights; None is left out.
    """
    if init is None:
        return {}
    fingerprint = Run(init).metadata().get("id") or ("" if Path(init).is_dir() else init)
    for weights_file in filter(None, weights_files):
        with open(weights_file, "rb") as file:
            fingerprint += f" {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    return {"init": {"fingerprint": fingerprint.strip()}}


def print_resume_command(run, app, step, steps_per_epoch):
    """Prints the folder of a `Run`, how far it has come, and the command that resumes it."""
    epochs, steps = divmod(step, steps_per_epoch)
    rest = f" and {steps} steps" if steps else ""
    print(f"Run folder {run.path}" + (f", resumed after epoch {epochs}{rest}" if step else ""))
    flags = shlex.join(["--config", str(run.config_file), "--run", str(run.path)])
    print(f"To resume after a stop: python -m apps.{app} {flags}")


def export_once(run, export):
    """Returns the folder of a `Run`'s SavedModel, a string; if there is none, calls `export`, which returns it."""
    saved_model = run.metadata().get("saved_model")
    if not (saved_model and Path(saved_model).is_dir()):
        saved_model = str(export())
        run.update_metadata(saved_model=saved_model)
    return saved_model


def config_text(config):
    """Returns a config as the text of `config.yaml`, without the fields `NOT_SAVED`."""
    values = {key: value for key, value in dataclasses.asdict(config).items() if key not in NOT_SAVED}
    return yaml.safe_dump(_to_plain(values), sort_keys=False)


def _is_used(path):
    """Returns whether a folder has any files but the first two, hidden ones, of a run that was killed at its start."""
    return path.exists() and any(file.name not in (LOCK, ".config.yaml.writing") for file in path.iterdir())


def _make_new_folder(path):
    """Makes a folder and returns its path, with a number if another run of the same name began in the same second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, new = 1, path
    while True:
        try:
            new.mkdir()
            return new
        except FileExistsError:
            number += 1
            new = path.with_name(f"{path.name}-{number}")


def _move_aside(path):
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
    print(f"The earlier run was moved to {aside}")


def _lock(run):
    """Locks the folder of a `Run` for this process; raises `UserError` if another process holds the lock."""
    path = run.path.absolute() / LOCK
    if path in _open_locks:
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
    _open_locks[path] = file


def _require_same(run, text, default_text, data):
    old, new, defaults = run.read_config(), yaml.safe_load(text), yaml.safe_load(default_text)
    differences = find_differences(old, new, defaults)
    if differences:
        raise UserError(
            f"--run {run.path} holds a run with another config ({'; '.join(differences)}); "
            "choose another --run, or --resume never to move it aside."
        )
    recorded = run.metadata().get("data")  # None if the program was killed before it had recorded its data
    changes = [] if recorded is None else find_changed_data(recorded, data)
    if changes:
        raise UserError(
            f"--run {run.path} was begun with other data or weights than the flags name now ({'; '.join(changes)}); "
            "restore them, choose another --run, or --resume never to move it aside."
        )


def _to_plain(value):
    if isinstance(value, dict):
        return {key: _to_plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
