"""The versions of one model: found on disk, loaded, lent to requests and unloaded."""

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
from karpa_tf.serving.predict import warm_up

State = ModelVersionStatus.State


def list_versions(base):
    """Returns the folders of versions by number: the children of a folder whose name is a number, or raises OSError."""
    children = {child.name: child for child in Path(base).iterdir() if re.fullmatch("[0-9]{1,18}", child.name)}
    return {int(name): child for name, child in children.items() if child.is_dir()}


class _Version:
    """A version: its status, its servable, the number of its requests, and the files with which it was refused."""

    def __init__(self, number):
        self.status = ModelVersionStatus(version=number, state=State.LOADING, status={"error_message": ""})
        self.servable, self.users, self.refused_files = None, 0, None

    def is_in(self, state):
        return self.status.state == state


class Model:
    """The versions of one model; the newest serves.

    `update` and `unload` are called by one thread at a time, everything else from any thread.

    Args:
        name: of the model.
        load: function of name and folder that returns a `Servable`.
        log: function of a line.
    """

    def __init__(self, name, load, log):
        self.name, self._load, self._log = name, load, log
        self._versions = {}
        self._lock = threading.Lock()  # held for moments

    @contextlib.contextmanager
    def use(self, number=None):
        """Yields the servable of a version, the newest available for None, and keeps it loaded; None if there is none."""
        with self._lock:
            ready = {key: version for key, version in self._versions.items() if version.is_in(State.AVAILABLE)}
            version = ready.get(max(ready, default=None) if number is None else number)
            if version:
                version.users += 1
        try:
            yield version and version.servable
        finally:
            if version:
                with self._lock:
                    version.users -= 1
                self._end_unused(version)

    def statuses(self):
        """Returns a copy of the `ModelVersionStatus` of all versions seen so far, the newest first."""
        with self._lock:
            return [
                ModelVersionStatus.FromString(self._versions[key].status.SerializeToString())
                for key in sorted(self._versions, reverse=True)
            ]

    def update(self, base):
        """Loads the newest version below a folder if it is not available, then unloads the others.

        If it cannot be loaded, the version before it goes on serving, and it is tried again when its files have
        changed. Nothing changes if the folder cannot be read: OSError.
        """
        folders = list_versions(base)
        if not folders:
            return self.unload()
        newest = max(folders)
        version = self._versions.get(newest)
        if version is None or version.is_in(State.END):
            files = _list_files(folders[newest])  # before loading, so that a change meanwhile counts
            if version is None or version.refused_files != files:
                version = self._try_to_load(newest, folders[newest], files)
        if version.is_in(State.AVAILABLE):
            self.unload(kept=newest)

    def unload(self, kept=None):
        """Unloads every version but one, each after its last request."""
        for number in sorted(set(self._versions) - {kept}):
            version = self._versions[number]
            with self._lock:
                if version.is_in(State.AVAILABLE):
                    version.status.state = State.UNLOADING
            self._end_unused(version)

    def _try_to_load(self, number, folder, files):
        version = _Version(number)
        with self._lock:
            self._versions[number] = version
        start = time.perf_counter()
        try:
            servable = self._load(self.name, folder)
            requests = warm_up(servable)
        except Exception as error:
            code = error.code if isinstance(error, ServingError) else grpc.StatusCode.INTERNAL
            with self._lock:
                version.status.status.error_code, version.status.status.error_message = code.value[0], first_line(error)
                version.status.state, version.refused_files = State.END, files
            self._log(f"Refused {self.name} version {number}: {first_line(error)}")
        else:
            with self._lock:
                version.servable, version.status.state = servable, State.AVAILABLE
            seconds = time.perf_counter() - start
            self._log(f"Loaded {self.name} version {number} in {seconds:.1f} s, with {requests} warm-up requests")
        return version

    def _end_unused(self, version):
        with self._lock:
            if not version.is_in(State.UNLOADING) or version.users:
                return
            version.status.state, servable, version.servable = State.END, version.servable, None
        servable.close()
        self._log(f"Unloaded {self.name} version {servable.version}")


def _list_files(folder):
    """Returns what changes when a file below the folder does: every file's path, size and time of change."""
    found = set()
    for path in (Path(parent, name) for parent, _, files in os.walk(folder) for name in files):
        with contextlib.suppress(OSError):
            found.add((path, path.stat().st_size, path.stat().st_mtime_ns))
    return found
