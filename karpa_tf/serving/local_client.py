"""Asking a model in this process, as `client.RestClient` asks a server. TensorFlow is imported when one is loaded."""

from pathlib import Path

from karpa_tf.errors import UserError
from karpa_tf.serving.client import Answer, read_signatures
from karpa_tf.serving.versions import list_versions


class LocalClient:
    """Asks a SavedModel by the same loader and with the same checks as the server's.

    Args:
        folder: of a version, from `find_version`.

    Raises:
        UserError: it cannot be loaded.
    """

    def __init__(self, folder):
        import tensorflow as tf
        from google.protobuf import json_format

        from karpa_tf.serving import json_answers
        from karpa_tf.serving.errors import ServingError
        from karpa_tf.serving.servable import Servable

        tf.get_logger().setLevel("ERROR")  # of its loader's being deprecated
        self.error, self.json_format, self.json_answers = ServingError, json_format, json_answers
        try:
            self.servable = Servable(folder.parent.name, folder.name if folder.name.isdigit() else 0, folder)
        except ServingError as error:
            raise UserError(f"--saved-model {folder} cannot be loaded: {error.message}") from error

    def signatures(self, spec=None):
        """Returns dict of `Signature` by name, as `RestClient.signatures` does."""
        to_dict = self.json_format.MessageToDict
        return read_signatures(
            {name: to_dict(proto, preserving_proto_field_name=True) for name, proto in self.servable.signatures.items()}
        )

    def ask(self, spec, name, signature, inputs):
        """Returns the `Answer` of a signature, as `RestClient.ask` does."""
        outputs = self.run(name, inputs)
        return Answer(outputs, lambda: self.json_answers.write(outputs, rows=False))

    def run(self, name, inputs):
        """Returns the outputs of a signature, dict of arrays by name."""
        try:
            return self.servable.run(name, inputs)
        except self.error as error:
            raise UserError(f"{self.servable.path} refuses: {error.message} ({error.code.name})") from error


def find_version(directory, version=None):
    """Returns the folder of a version of a SavedModel.

    Args:
        directory: a version's folder, or that of all versions.
        version: number of the one to take; None is the newest.

    Raises:
        UserError: there is none.
    """
    folder = Path(directory).absolute()
    versions = list_versions(folder) if folder.is_dir() else {}
    if version is not None and version not in versions:
        known = ", ".join(map(str, sorted(versions))) or "none"
        raise UserError(f"--saved-model {directory} has no version {version}; its versions: {known}.")
    if versions:
        folder = versions[max(versions) if version is None else version]
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"--saved-model {directory} holds no SavedModel; expected saved_models/<name>[/<version>].")
    return folder
