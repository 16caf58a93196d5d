"""The versions of one model: loaded, lent to requests and unloaded."""

import threading
import time

import grpc
from tensorflow_serving.apis import get_model_status_pb2

from karpa_tf.errors import first_line
from karpa_tf.serving import versions
from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.servable import Servable
from karpa_tf.serving.warm_up import warm_up

State = get_model_status_pb2.ModelVersionStatus.State


class _Version:
    """A version: its state, the servable while there is one, how many requests use it, and what was refused."""

    def __init__(self):
        self.state, self.error = State.LOADING, None
        self.servable, self.users, self.refused = None, 0, None


class Model:
    """The versions of a model that are served or were.

    `update` and `unload_all` are called by one thread at a time; everything else from any thread.

    Args:
        name: of the model.
        limits: `Limits` of its requests.
        log: takes a line for each event.
        on_load: takes the folder, the seconds and whether it went well, of each loading; or None.
    """

    def __init__(self, name, limits, log, on_load=None):
        self.name = name
        self._limits, self._log, self._on_load = limits, log, on_load
        self._versions = {}
        self._lock = threading.Lock()  # held for moments

    def available(self):
        """Returns the set of version numbers that answer requests."""
        with self._lock:
            return {number for number, entry in self._versions.items() if entry.state == State.AVAILABLE}

    def statuses(self):
        """Returns a dict of `ModelVersionStatus` by number, the highest first, of all versions seen so far."""
        with self._lock:
            return {number: _status(number, self._versions[number]) for number in sorted(self._versions, reverse=True)}

    def enter(self, number):
        """Returns the version of a number, or the highest for None, not to be unloaded before `leave`; None if none."""
        with self._lock:
            if number is None:
                ready = (n for n, entry in self._versions.items() if entry.state == State.AVAILABLE)
                number = max(ready, default=None)
            entry = self._versions.get(number)
            if entry is None or entry.state != State.AVAILABLE:
                return None
            entry.users += 1
            return entry

    def leave(self, entry):
        """Gives a version back; the last request of one that is to go unloads it."""
        with self._lock:
            entry.users -= 1
            last = entry.state == State.UNLOADING and entry.users == 0
        if last:
            self._end(entry)

    def update(self, base, policy):
        """Loads the versions below a folder that a policy asks for, and unloads those that it does not.

        While none of those that are wanted is ready, the highest that is ready goes on serving. A version that could
        not be loaded is tried again when its folder has changed.

        Returns:
            how many versions there are.

        Raises:
            OSError: the folder cannot be read; nothing is unloaded then, as in TF Serving.
        """
        there = versions.list_versions(base)
        wanted = versions.wanted(there, policy)
        for number in sorted(wanted, reverse=True):
            entry = self._versions.get(number)
            if entry is None or entry.state == State.END:
                state = versions.fingerprint(there[number])  # before the loading, so that a change meanwhile counts
                if entry is None or entry.refused != state:
                    self._unload_surplus(wanted)
                    self._load(number, there[number], base, state)
        self._unload_surplus(wanted)
        return len(there)

    def unload_all(self):
        """Unloads every version after its last request."""
        self._unload_surplus(set())

    def _unload_surplus(self, wanted):
        available = self.available()
        surplus = sorted(available - wanted)
        if wanted and not available & wanted:
            surplus = surplus[:-1]
        for number in surplus:
            self._unload(self._versions[number])

    def _load(self, number, path, base, state):
        entry = _Version()
        with self._lock:
            self._versions[number] = entry
        started = time.perf_counter()
        try:
            servable, requests = self._loaded(number, path, base)
        except Exception as error:
            error = error if isinstance(error, ServingError) else _defect(path, error)
            with self._lock:
                entry.state, entry.error, entry.refused = State.END, error, state
            self._log(f"Refused {self.name} version {number}: {error.message}")
            if self._on_load:
                self._on_load(path, time.perf_counter() - started, False)
            return
        seconds = time.perf_counter() - started
        with self._lock:
            entry.servable, entry.state = servable, State.AVAILABLE
        self._log(f"Loaded {self.name} version {number} in {seconds:.1f} s, with {requests} warm-up requests")
        if self._on_load:
            self._on_load(path, seconds, True)

    def _loaded(self, number, path, base):
        outside = versions.leading_out(path, base)
        if outside:
            raise ServingError(
                grpc.StatusCode.PERMISSION_DENIED, f"{outside} is a link that leads out of the model's folder {base}."
            )
        servable = Servable(self.name, number, path, self._limits)
        try:
            return servable, warm_up(servable)
        except BaseException:
            servable.close()
            raise

    def _unload(self, entry):
        with self._lock:
            entry.state = State.UNLOADING
            unused = entry.users == 0
        if unused:
            self._end(entry)

    def _end(self, entry):
        servable, entry.servable = entry.servable, None
        servable.close()
        with self._lock:
            entry.state = State.END
        self._log(f"Unloaded {self.name} version {servable.version}")


def _defect(path, error):
    return ServingError(grpc.StatusCode.INTERNAL, f"Loading {path} failed: {type(error).__name__}: {first_line(error)}")


def _status(number, entry):
    status = get_model_status_pb2.ModelVersionStatus(version=number, state=entry.state)
    status.status.error_code = entry.error.code.value[0] if entry.error else 0
    status.status.error_message = entry.error.message if entry.error else ""
    return status
