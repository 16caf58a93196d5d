"""All models of a server: watched on disk, found by requests, changed by a new config, as TF Serving does it."""

import contextlib
import sys
import threading
from pathlib import Path

import grpc
from tensorflow_serving.config import model_server_config_pb2

from karpa_tf.errors import first_line
from karpa_tf.serving import model_config
from karpa_tf.serving.errors import ServingError, invalid
from karpa_tf.serving.limits import Limits
from karpa_tf.serving.model import Model


class Manager:
    """Keeps the versions that the models' policies ask for ready.

    A version becomes available once it is loaded and warmed up; only then is the one before it unloaded, when its last
    request has ended. One that cannot be loaded stays in the status with its error until its folder changes. Loading is
    done in the thread that looks at the disk.

    Args:
        models: `ModelServerConfig`, or a list of (name, folder).
        poll_seconds: how often to look at the disk; 0: at `start` only; below 0: never.
        folder: a model's folder, or one whose children with versions in them are models, looked at anew each time; used
            instead of `models` until `reload` is called.
        limits: `Limits` of every request.
        labels_for_unavailable: let new labels name versions that are not available.
        log: takes a line for each event; None prints to standard error.
        on_load: takes folder, seconds and success of each loading; or None.
    """

    def __init__(
        self, models=(), poll_seconds=1, folder=None, limits=None, labels_for_unavailable=False, log=None, on_load=None
    ):
        self.limits = limits or Limits()
        self._first, self._folder = model_config.as_config(models), folder and Path(folder)
        self._poll_seconds, self._labels_for_unavailable = poll_seconds, labels_for_unavailable
        self._log = log or (lambda line: print(line, file=sys.stderr, flush=True))
        self._on_load = on_load
        self._configs, self._models, self._labels, self._said = {}, {}, {}, {}
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
            self._take(self._first)
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
            for model in self._models.values():
                model.unload_all()

    def reload(self, config):
        """Takes another `ModelServerConfig` and returns once its new models are there.

        Raises:
            ServingError: it is wrong, and nothing has changed; or a new model has no version that could be loaded.
        """
        config = model_config.as_config(config)
        if config.WhichOneof("config") is None:
            return
        with self._working:
            before = set(self._configs)
            self._take(config)
            self._folder = None
            self.poll()
            missing = [name for name in self.models() if name not in before and not self._models[name].available()]
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
        if not name:
            raise invalid("ModelSpec has no name specified.")
        version, model = self._find(name, version, label)
        entry = model and model.enter(version)
        if entry is None:
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise _not_found(f"Servable not found for request: {asked}")
        try:
            yield entry.servable
        finally:
            model.leave(entry)

    def status(self, name, version=None, label=None):
        """Returns the `ModelVersionStatus` of a model's versions, or of one, the highest first.

        Raises:
            ServingError: NOT_FOUND where there is none, INVALID_ARGUMENT for an unknown label.
        """
        version, model = self._find(name, version, label)
        statuses = model.statuses() if model else {}
        if version is None and not statuses:
            raise _not_found(f"Could not find any versions of model {name}")
        if version is not None and version not in statuses:
            raise _not_found(f"Could not find version {version} of model {name}")
        return list(statuses.values()) if version is None else [statuses[version]]

    def poll(self):
        """Looks at the disk once: loads what is wanted and missing, unloads what is no longer wanted."""
        if self._poll_seconds < 0:
            return
        with self._working:
            if self._folder is not None:
                self._discover()
            for name, config in list(self._configs.items()):
                if name not in self._models:
                    with self._lock:
                        self._models[name] = Model(name, self.limits, self._log, self._on_load)
                self._update(self._models[name], config)
            for name, model in self._models.items():
                if name not in self._configs:
                    model.unload_all()

    def _update(self, model, config):
        base = config.base_path
        try:
            if model.update(base, config.model_version_policy):
                self._said.pop(model.name, None)
            else:
                self._say(model.name, f"Model {model.name}: no version in {base} yet; a version is a folder <number>.")
        except OSError as error:
            self._say(model.name, f"Model {model.name}: its folder {base} cannot be read ({error.strerror}).")

    def _discover(self):
        try:
            found, outside = model_config.models_in(self._folder)
        except OSError as error:
            self._say("", f"The folder {self._folder} cannot be read ({error.strerror}).")
            return
        for path in outside:
            self._say(path, f"{path} is a link that leads out of {self._folder}, and is not served.")
        if not found:
            self._say("", f"No model in {self._folder} yet; a model is a folder <name>/<number>/ with a SavedModel.")
        else:
            self._said.pop("", None)
        with self._lock:
            self._configs = {
                name: model_server_config_pb2.ModelConfig(name=name, base_path=str(base))
                for name, base in found.items()
            }

    def _keep_polling(self):
        while not self._stopped.wait(self._poll_seconds):
            try:
                self.poll()
            except Exception as error:  # A defect must not end the watch over the disk for good.
                self._say("", f"Looking for versions failed: {type(error).__name__}: {first_line(error)}")

    def _take(self, config):
        """Takes models and labels over; where something is wrong, nothing changes."""
        models = model_config.checked_models(config)
        labels = {model.name: self._labels_of(model) for model in models.values()}
        with self._lock:
            self._configs, self._labels = models, labels

    def _labels_of(self, config):
        """A label goes to an available version; with the flag, one that is new may go to any."""
        before = self._labels.get(config.name, {})
        available = self._models[config.name].available() if config.name in self._models else ()
        for label, number in config.version_labels.items():
            new = before.get(label, number) == number
            if number not in available and not (new and self._labels_for_unavailable):
                raise ServingError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {config.name}, which is not currently "
                    "available for inference",
                )
        return dict(config.version_labels)

    def _find(self, name, version, label):
        """Returns the version's number, or None, and the `Model`, or None."""
        with self._lock:
            if label:
                known = self._labels.get(name, {})
                if label not in known:
                    raise invalid(f"Unrecognized servable version label: {label}")
                version = known[label]
            return version, self._models.get(name)

    def _say(self, about, line):
        """Logs what goes on being so only once."""
        if self._said.get(about) != line:
            self._said[about] = line
            self._log(line)


def _not_found(message):
    return ServingError(grpc.StatusCode.NOT_FOUND, message)
