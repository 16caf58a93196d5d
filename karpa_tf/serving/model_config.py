"""Which models a server has: from a list, a folder of models or TF Serving's config file."""

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from karpa_tf.errors import UserError
from karpa_tf.serving import versions
from karpa_tf.serving.errors import invalid

PLATFORM = "tensorflow"


def as_config(models):
    """Returns the `ModelServerConfig` for a list of (name, folder); one is returned as it is."""
    if isinstance(models, model_server_config_pb2.ModelServerConfig):
        return models
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    for name, base in models:
        config.model_config_list.config.add(name=name, base_path=str(Path(base).resolve()), model_platform=PLATFORM)
    return config


def read_message(path, message, flag):
    """Fills a protobuf message from a text file and returns it.

    Raises:
        UserError: the file cannot be read, or does not hold such a message.
    """
    try:
        return text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be read ({error.strerror}).") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(
            f"{flag} {path} is no {message.DESCRIPTOR.name} in protobuf's text format: {' '.join(str(error).split())}"
        ) from error


def read_config_file(path):
    """Returns the `ModelServerConfig` of a text file, as TF Serving's --model_config_file."""
    return read_message(path, model_server_config_pb2.ModelServerConfig(), "--model_config_file")


def checked_models(config):
    """Returns the `ModelConfig`s by name.

    Raises:
        ServingError: INVALID_ARGUMENT, in TF Serving's words.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("A custom_model_config is not supported; list the models in a model_config_list.")
    models = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        if not model.name:
            raise invalid("A model of the config list has no name.")
        if not Path(model.base_path).is_absolute():
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        if "://" in model.base_path:
            raise invalid(f"Model {model.name}: only local folders are served, not {model.base_path}")
        _check_platform(model)
        models[model.name] = model
    return models


def _check_platform(model):
    if model.model_platform and model.model_type:
        raise invalid(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
        )
    if not model.model_platform and not model.model_type:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    if (model.model_platform or PLATFORM) != PLATFORM or model.model_type == model_server_config_pb2.OTHER:
        raise invalid(f"Model {model.name} requests unsupported platform {model.model_platform or model.model_type}")


def models_in(folder):
    """Returns the folders of models by name, and the children that lead out of the folder.

    A folder that has versions is a model itself; else its children that have versions are.

    Raises:
        OSError: it cannot be read.
    """
    root = Path(folder).resolve()
    if versions.list_versions(root):
        return {root.name: root}, []
    found, outside = {}, []
    for child in sorted(root.iterdir()):
        if child.name.startswith(".") or not child.is_dir():
            continue
        if not child.resolve().is_relative_to(root):
            outside.append(child)
        elif versions.list_versions(child):
            found[child.name] = child
    return found, outside
