"""The models of a server: found on disk, loaded, lent to requests and unloaded."""

import contextlib
import os
import re
import threading
import time
from pathlib import Path

import grpc
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from karpa_tf.errors import first_line
from karpa_tf.serving.errors import ServingError

LOADING, AVAILABLE, UNLOADING, END = map(ModelVersionStatus.State.Value, ("LOADING", "AVAILABLE", "UNLOADING", "END"))


def list_versions(base):
    """Returns the folders of versions by number: the children of a folder whose name is a number, or raises OSError."""
    children = {child.name: child for child in Path(base).iterdir() if re.fullmatch("[0-9]{1,18}", child.name)}
    return {int(name): child for name, child in children.items() if child.is_dir()}


def find_models(folder):
    """Returns the folders of models by name: the folder itself if it has versions, else its children that have some."""
    root = Path(folder).resolve()
    if list_versions(root):
        return {root.name: root}
    children = [child for child in sorted(root.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    return {child.name: child for child in children if list_versions(child)}


class _Version:
    """A version: its state and error, its servable, the number of its requests, and the files that were refused."""

    def __init__(self):
        self.state, self.code, self.error = LOADING, 0, ""
        self.servable, self.users, self.refused_files = None, 0, None

    def status(self, number):
        status = {"error_code": self.code, "error_message": self.error}
        return ModelVersionStatus(version=number, state=self.state, status=status)


class Manager:
    """The models of a server; of each, the newest version serves.

    A new version is loaded and warmed up before the one before it is unloaded, which is when the last request of that
    one has ended. If it cannot be loaded, the one before it goes on serving, and it is tried again when its files have
    changed. Nothing changes while a folder cannot be read.

    `find` returns the folders of the models by name; `load(name, folder)` returns a `Servable`; `poll_seconds` are
    between checks of the disk, 0 is at `start` only; `log` takes a line.
    """

    def __init__(self, find, load, poll_seconds, log):
        self._find, self._load, self._poll_seconds, self._log = find, load, poll_seconds, log
        self._models, self._names, self._problems = {}, [], []
        self._lock = threading.Lock()  # of the versions, held for moments
        self._polling = threading.Lock()  # held while versions are loaded
        self._stopped = threading.Event()

    def start(self):
        """Loads what is there; a thread continues to check."""
        self.poll()
        if self._poll_seconds > 0:
            threading.Thread(target=self._poll_repeatedly, name="versions", daemon=True).start()

    def stop(self):
        """Ends the checks and unloads everything, each version after its last request."""
        self._stopped.set()
        with self._polling:
            for name in self._models:
                self._unload(name)

    def poll(self):
        """Checks the disk once; a problem that persists is logged once."""
        with self._polling:
            problems = [] if self._stopped.is_set() else list(self._update())
            for line in problems:
                if line not in self._problems:
                    self._log(line)
            self._problems = problems

    def names(self):
        """Returns the names of the models, sorted."""
        return self._names

    def statuses(self, name, number=None):
        """Returns the list of `ModelVersionStatus` of a model or of one version, the newest first."""
        with self._lock:
            versions = sorted(self._models.get(name, {}).items(), reverse=True)
            return [each.status(key) for key, each in versions if number in (None, key)]

    @contextlib.contextmanager
    def use(self, name, number=None):
        """Yields the `Servable` of a version, the newest available for None, and keeps it loaded; or `ServingError`."""
        with self._lock:
            ready = {key: each for key, each in self._models.get(name, {}).items() if each.state == AVAILABLE}
            version = ready.get(max(ready, default=None) if number is None else number)
            if version is None:
                which = "any version" if number is None else f"version {number}"
                # Clients that wait for a server look for the word "Servable" in this message.
                raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not available: {which} of model {name!r}.")
            version.users += 1
        try:
            yield version.servable
        finally:
            with self._lock:
                version.users -= 1
            self._end_unused(version)

    def _poll_repeatedly(self):
        while not self._stopped.wait(self._poll_seconds):
            try:
                self.poll()
            except Exception as error:  # A defect must not end the checks for good.
                self._log(f"The check for versions failed: {type(error).__name__}: {first_line(error)}")

    def _update(self):
        """Loads and unloads; yields a line for each problem."""
        try:
            found = self._find()
        except OSError as error:
            return (yield f"{error.filename} cannot be read ({error.strerror}).")
        self._names = sorted(found)
        for name in sorted(found.keys() | self._models.keys()):
            try:
                folders = list_versions(found[name]) if name in found else {}
            except OSError as error:
                yield f"Model {name}: {error.filename} cannot be read ({error.strerror})."
                continue
            newest = max(folders, default=None)
            if newest is None or self._try_to_load(name, newest, folders[newest]):
                self._unload(name, kept=newest)

    def _try_to_load(self, name, number, folder):
        """Loads a version if it is not available, and returns whether it is."""
        version = self._models.get(name, {}).get(number)
        if version and version.state != END:
            return version.state == AVAILABLE
        files = _list_files(folder)  # before loading, so that a change meanwhile counts
        if version and version.refused_files == files:
            return False
        version, start = _Version(), time.perf_counter()
        with self._lock:
            self._models.setdefault(name, {})[number] = version
        try:
            servable = self._load(name, folder)
            requests = servable.warm_up()
        except Exception as error:
            code = error.code if isinstance(error, ServingError) else grpc.StatusCode.INTERNAL
            with self._lock:
                version.state, version.code, version.error = END, code.value[0], first_line(error)
                version.refused_files = files
            self._log(f"Refused {name} version {number}: {version.error}")
            return False
        with self._lock:
            version.servable, version.state = servable, AVAILABLE
        seconds = time.perf_counter() - start
        self._log(f"Loaded {name} version {number} in {seconds:.1f} s, with {requests} warm-up requests")
        return True

    def _unload(self, name, kept=None):
        """Unloads every version of a model but one, each after its last request."""
        for number, version in sorted(self._models.get(name, {}).items()):
            if number != kept and version.state == AVAILABLE:
                with self._lock:
                    version.state = UNLOADING
                self._end_unused(version)

    def _end_unused(self, version):
        with self._lock:
            if version.state != UNLOADING or version.users:
                return
            version.state, servable, version.servable = END, version.servable, None
        servable.close()
        self._log(f"Unloaded {servable.name} version {servable.version}")


def _list_files(folder):
    """Returns what changes when a file below the folder does: every file's path, size and time of change."""
    found = set()
    for path in (Path(parent, name) for parent, _, files in os.walk(folder) for name in files):
        with contextlib.suppress(OSError):
            found.add((path, path.stat().st_size, path.stat().st_mtime_ns))
    return found
