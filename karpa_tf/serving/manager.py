"""Models and their versions: found on disk, loaded, handed out to requests and unloaded, as TF Serving does it."""

import contextlib
import sys
import threading
import time
from pathlib import Path

import grpc
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from karpa_tf.configs.errors import first_line
from karpa_tf.serving import versions
from karpa_tf.serving.errors import ServingError, invalid
from karpa_tf.serving.limits import Limits
from karpa_tf.serving.servable import Servable
from karpa_tf.serving.warm_up import warm_up

State = get_model_status_pb2.ModelVersionStatus.State


class _Version:
    """A version: its state, the servable while there is one, and how many requests use it."""

    def __init__(self, path):
        self.path, self.state, self.error = path, State.START, None
        self.servable, self.users, self.tried = None, 0, None


class Manager:
    """Keeps the versions that the models' policies ask for ready.

    A version becomes available once it is loaded and warmed up; only then is the one before it unloaded, when its last
    request has ended. One that cannot be loaded stays in the status with its error until its folder changes. Loading is
    done in the thread that looks at the disk.

    Args:
        models: `ModelServerConfig`, or a list of (name, folder).
        poll_seconds: how often to look at the disk; 0: at `start` only; below 0: never.
        folder: a folder whose children with versions in them are models too, looked at anew each time; or None.
        limits: `Limits` of every request.
        labels_for_unavailable: let new labels name versions that are not available.
        log: takes a line for each event.
        on_load: takes model, version and seconds of each loading.
    """

    def __init__(
        self,
        models=(),
        poll_seconds=1,
        folder=None,
        limits=None,
        labels_for_unavailable=False,
        log=None,
        on_load=None,
    ):
        self.limits = limits or Limits()
        self._poll_seconds, self._folder = poll_seconds, folder and Path(folder)
        self._labels_for_unavailable = labels_for_unavailable
        self._log = log or (lambda line: print(line, file=sys.stderr, flush=True))
        self._on_load = on_load
        self._first = as_config(models)
        self._configs, self._versions, self._labels = {}, {}, {}
        self._said = {}
        self._lock = threading.Lock()  # held for moments
        self._working = threading.RLock()  # held while the disk is looked at and versions are loaded
        self._stopped = threading.Event()
        self._thread = None

    def start(self):
        """Loads what is there, then goes on looking in a thread of its own.

        Raises:
            ServingError: the config is wrong.
        """
        with self._working:
            self._set_config(self._first)
            if self._poll_seconds >= 0:
                self.poll()
        if self._poll_seconds > 0:
            self._thread = threading.Thread(target=self._keep_polling, name="versions", daemon=True)
            self._thread.start()

    def stop(self):
        """Stops looking at the disk and unloads everything, each version after its last request."""
        self._stopped.set()
        if self._thread:
            self._thread.join()
        with self._working:
            for name, numbers in list(self._versions.items()):
                for number in list(numbers):
                    self._unload(name, number)

    def reload(self, config):
        """Takes another `ModelServerConfig` and returns once its new models are there.

        Raises:
            ServingError: it is wrong, or a new model has no version that could be loaded.
        """
        config = as_config(config)
        if config.WhichOneof("config") is None:
            return
        with self._working:
            new = {model.name for model in config.model_config_list.config} - set(self._configs)
            self._set_config(config)
            self.poll()
            missing = [name for name in sorted(new) if not self._available(name)]
        if missing:
            raise ServingError(
                grpc.StatusCode.UNKNOWN, f"Some models did not become available: {{{', '.join(missing)}}}"
            )

    def models(self):
        """Returns the names of the models, sorted."""
        with self._lock:
            return sorted(self._configs)

    def labels(self, name):
        """Returns the model's version numbers by label."""
        with self._lock:
            return dict(self._labels.get(name, {}))

    @contextlib.contextmanager
    def use(self, name, version=None, label=None):
        """Gives the servable of a version, the highest available if none is named, and keeps it loaded meanwhile.

        Raises:
            ServingError: NOT_FOUND where there is none, INVALID_ARGUMENT for no name or an unknown label.
        """
        entry = self._enter(name, version, label)
        try:
            yield entry.servable
        finally:
            with self._lock:
                entry.users -= 1
                last = entry.state == State.UNLOADING and entry.users == 0
            if last:
                self._end(name, entry)

    def status(self, name, version=None, label=None):
        """Returns the `ModelVersionStatus` of a model's versions, or of one, the highest first.

        Raises:
            ServingError: NOT_FOUND where there is none, INVALID_ARGUMENT for an unknown label.
        """
        with self._lock:
            version = self._number(name, version, label)
            known = self._versions.get(name, {})
            if version is not None:
                if version not in known:
                    raise _not_found(f"Could not find version {version} of model {name}")
                return [_status(version, known[version])]
            if not known:
                raise _not_found(f"Could not find any versions of model {name}")
            return [_status(number, known[number]) for number in sorted(known, reverse=True)]

    def poll(self):
        """Looks at the disk once: loads what is wanted and missing, unloads what is no longer wanted."""
        with self._working:
            self._discover()
            for name in sorted(set(self._configs) | set(self._versions)):
                try:
                    self._update(name, self._configs.get(name))
                except OSError as error:
                    self._say(name, f"Model {name}: its folder cannot be read ({error.strerror}: {error.filename}).")

    def _keep_polling(self):
        while not self._stopped.wait(self._poll_seconds):
            try:
                self.poll()
            except Exception as error:  # A defect must not end the watch over the disk for good.
                self._say("", f"Looking for versions failed: {type(error).__name__}: {first_line(error)}")

    def _discover(self):
        if self._folder is None:
            return
        found = models_in(self._folder)
        with self._lock:
            for name in list(self._configs):
                if name not in found:
                    del self._configs[name]
            for name, base in found.items():
                self._configs.setdefault(name, model_server_config_pb2.ModelConfig(name=name, base_path=str(base)))

    def _set_config(self, config):
        """Takes models and labels over, in that order refusing what is wrong, as TF Serving does."""
        models = {}
        for model in config.model_config_list.config:
            if model.name in models:
                raise invalid(f"Illegal to list model {model.name} multiple times in config list")
            if not model.name or not model.base_path:
                raise invalid("Every model of the config needs a name and a base_path.")
            versions.wanted((), model.model_version_policy)
            models[model.name] = model
        labels = {model.name: self._labels_of(model) for model in models.values()}
        with self._lock:
            self._configs, self._labels = models, labels

    def _labels_of(self, model):
        labels = {}
        for label, number in model.version_labels.items():
            moved = self._labels.get(model.name, {}).get(label, number) != number
            entry = self._versions.get(model.name, {}).get(number)
            available = entry is not None and entry.state == State.AVAILABLE
            if not available and (moved or not self._labels_for_unavailable):
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {model.name}, which is not currently "
                    "available for inference",
                )
            labels[label] = number
        return labels

    def _update(self, name, config):
        there, refused, wanted = {}, {}, set()
        if config is not None:
            there, refused = versions.list_versions(config.base_path)
            wanted = versions.wanted(there, config.model_version_policy)
            if not there:
                self._say(name, f"Model {name}: no version in {config.base_path} yet; a version is a folder <number>.")
            else:
                self._said.pop(name, None)
        for number, path in refused.items():
            self._say(path, f"{path} leads out of the model's folder and is not served.")
        known = self._versions.setdefault(name, {})
        # Each loading may take long: what it makes superfluous goes before the next one.
        for number in sorted(wanted, reverse=True):
            entry = known.get(number)
            if entry is None or (entry.state == State.END and entry.tried != versions.fingerprint(there[number])):
                self._unload_superfluous(name, wanted)
                self._load(name, number, there[number])
        self._unload_superfluous(name, wanted)

    def _unload_superfluous(self, name, wanted):
        """While no wanted version is ready, one that is no longer wanted goes on serving."""
        available = self._available(name)
        surplus = sorted(available - wanted)
        if wanted and not available & wanted:
            surplus = surplus[:-1]
        for number in surplus:
            self._unload(name, number)

    def _load(self, name, number, path):
        entry = _Version(path)
        entry.tried = versions.fingerprint(path)
        with self._lock:
            entry.state = State.LOADING
            self._versions[name][number] = entry
        started = time.perf_counter()
        try:
            servable = Servable(name, number, path, self.limits)
            try:
                warmed = warm_up(servable)
            except Exception:
                servable.close()
                raise
        except ServingError as error:
            with self._lock:
                entry.state, entry.error = State.END, error
            self._log(f"Refused {name} version {number}: {error.message}")
            return
        seconds = time.perf_counter() - started
        with self._lock:
            entry.servable, entry.state = servable, State.AVAILABLE
        self._log(f"Loaded {name} version {number} in {seconds:.1f} s, {warmed} warm-up requests")
        if self._on_load:
            self._on_load(name, number, seconds)

    def _unload(self, name, number):
        entry = self._versions[name][number]
        with self._lock:
            if entry.state != State.AVAILABLE:
                return
            entry.state = State.UNLOADING
            unused = entry.users == 0
        if unused:
            self._end(name, entry)

    def _end(self, name, entry):
        servable, entry.servable, entry.tried = entry.servable, None, None
        servable.close()
        with self._lock:
            entry.state = State.END
        self._log(f"Unloaded {name} version {servable.version}")

    def _enter(self, name, version, label):
        if not name:
            raise invalid("ModelSpec has no name specified.")
        with self._lock:
            version = self._number(name, version, label)
            known = self._versions.get(name, {})
            ready = [number for number, entry in known.items() if entry.state == State.AVAILABLE]
            number = max(ready, default=None) if version is None else version
            if number not in ready:
                asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise _not_found(f"Servable not found for request: {asked}")
            known[number].users += 1
            return known[number]

    def _number(self, name, version, label):
        if label:
            if label not in self._labels.get(name, {}):
                raise invalid(f"Unrecognized servable version label: {label}")
            return self._labels[name][label]
        return version

    def _available(self, name):
        with self._lock:
            return {n for n, entry in self._versions.get(name, {}).items() if entry.state == State.AVAILABLE}

    def _say(self, about, line):
        """Logs what goes on being so only once."""
        if self._said.get(about) != line:
            self._said[about] = line
            self._log(line)


def as_config(models):
    """Returns the `ModelServerConfig` for a list of (name, folder); one is returned as it is."""
    if isinstance(models, model_server_config_pb2.ModelServerConfig):
        return models
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    for name, base in models:
        config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")
    return config


def models_in(folder):
    """Returns the folders of models by name: the children of a folder that have a version and do not lead out of it."""
    root = folder.resolve()
    found = {}
    for child in folder.iterdir():
        if child.is_dir() and not child.name.startswith(".") and versions.inside(child, root):
            there, _ = versions.list_versions(child)
            if there:
                found[child.name] = child
    return found


def _status(number, entry):
    status = get_model_status_pb2.ModelVersionStatus(version=number, state=entry.state)
    status.status.error_code = entry.error.code.value[0] if entry.error else 0
    status.status.error_message = entry.error.message if entry.error else ""
    return status


def _not_found(message):
    return ServingError(grpc.StatusCode.NOT_FOUND, message)
