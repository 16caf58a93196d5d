"""All models of a server, found again and again on disk."""

import contextlib
import threading
from pathlib import Path

import grpc

from karpa_tf.errors import first_line
from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.model import Model, list_versions


def find_models(folder):
    """Returns the folders of models by name: the folder itself if it has versions, else its children that have some."""
    root = Path(folder).resolve()
    if list_versions(root):
        return {root.name: root}
    children = [child for child in sorted(root.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    return {child.name: child for child in children if list_versions(child)}


class Manager:
    """The models of a server.

    Args:
        find: function that returns the folders of the models by name.
        load: function of name and folder that returns a `Servable`.
        poll_seconds: seconds between checks of the disk; 0: at `start` only.
        log: function of a line.
    """

    def __init__(self, find, load, poll_seconds, log):
        self._find, self._load, self._poll_seconds, self._log = find, load, poll_seconds, log
        self._models, self._names, self._problems = {}, [], []
        self._polling = threading.Lock()
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
            for model in self._models.values():
                model.unload()

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
        found = self._models[name].statuses() if name in self._models else []
        return [status for status in found if number in (None, status.version)]

    @contextlib.contextmanager
    def use(self, name, number=None):
        """Yields the `Servable` of a version, the newest available for None, and keeps it loaded; or `ServingError`."""
        model = self._models.get(name)
        with model.use(number) if model else contextlib.nullcontext() as servable:
            if servable is None:
                which = "any version" if number is None else f"version {number}"
                # Clients that wait for a server look for the word "Servable" in this message.
                raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not available: {which} of model {name!r}.")
            yield servable

    def _update(self):
        """Loads and unloads; yields a line for each problem."""
        try:
            found = self._find()
        except OSError as error:
            return (yield f"{error.filename} cannot be read ({error.strerror}).")
        for name in found.keys() - self._models.keys():
            self._models = self._models | {name: Model(name, self._load, self._log)}
        self._names = sorted(found)
        for name, model in self._models.items():
            try:
                model.update(found[name]) if name in found else model.unload()
            except OSError as error:
                yield f"Model {name}: {error.filename} cannot be read ({error.strerror})."

    def _poll_repeatedly(self):
        while not self._stopped.wait(self._poll_seconds):
            try:
                self.poll()
            except Exception as error:  # A defect must not end the checks for good.
                self._log(f"The check for versions failed: {type(error).__name__}: {first_line(error)}")
