"""Published image networks to start from: of `keras.applications`, and backbones of KerasHub."""

import dataclasses
from pathlib import Path

from karpa_tf.configs.application import APPLICATIONS, ApplicationConfig
from karpa_tf.errors import UserError, nearest
from karpa_tf.models import application, backbone
from karpa_tf.system.console import warn
from karpa_tf.training.run import Run, describe_init, planned_folder
from karpa_tf.training.weights import find_weights


def is_run(init):
    """Returns whether `--init` names a folder that is to hold a run, and not what KerasHub reads."""
    return Path(init).is_dir() and not Path(init, "config.json").is_file()


def read_network(config, app):
    """Returns the config of the published network that the `--init` of a `ClassifierConfig` names.

    Args:
        config: a `ClassifierConfig`.
        app: name of the program; the folder below `runs/`.

    Raises:
        UserError: there is no such network, or it cannot be downloaded.
    """
    init, model = config.transfer.init, config.model
    if init in APPLICATIONS:
        return dataclasses.replace(model if model.family == "application" else ApplicationConfig(), application=init)
    if model.family == "backbone" and model.backbone and _is_resumed(config, app):
        return model
    names = backbone.list_presets()
    if not Path(init).is_dir() and init not in names:
        raise UserError(
            f"--init {init}: there is no such folder, and it is neither a model of keras.applications nor an image "
            f"backbone of KerasHub{nearest(init, [*APPLICATIONS, *names])}"
        )
    if config.transfer.init_weights:
        raise UserError("--init-weights is for models of keras.applications; a preset of KerasHub has its own weights.")
    dropout = getattr(model, "dropout", backbone.BackboneConfig.dropout)
    network, has_pixel_values = backbone.read_preset(init, dropout)
    if not has_pixel_values:
        warn(
            f"--init {init} has no image_converter.json, so that its backbone gets pixel values from 0 to 255 as they "
            "are. If it was trained on others, save its ImageConverter to the folder as well."
        )
    return network


def load_weights(model, config, app):
    """Sets all weights of a new model but the head's to those of `--init`, unless the run has a checkpoint already.

    Args:
        model: the model of `config.model`.
        config: a `ClassifierConfig` with the network of `read_network`.
        app: as for `read_network`.

    Raises:
        UserError: the weights cannot be read or downloaded, or do not fit the model.
    """
    if _is_resumed(config, app):
        return
    if config.model.family == "application":
        application.load_application(model, config.model, config.transfer.init_weights)
    else:
        backbone.load_backbone(model, config.model, config.transfer.init)


def describe(config, app):
    """Returns what `run.json` says about `--init`, a dict, as `describe_init` does.

    Of a run that is resumed, and whose network is no longer where it was, this is what `run.json` says already.
    """
    init, init_weights = config.transfer.init, config.transfer.init_weights
    if init is None:
        return {}
    is_name = init in APPLICATIONS or init in backbone.list_presets()
    if not (is_name or Path(init).is_dir()) or (init_weights and not Path(init_weights).is_file()):
        recorded = Run(planned_folder(config, app)).metadata()["data"]
        return {"init": recorded["init"]}
    files = [] if is_run(init) else sorted(Path(init).glob("model*.weights.h5"))
    return describe_init(init, init_weights, *files)


def _is_resumed(config, app):
    """Returns whether the run has a checkpoint, whose weights replace those of `--init`."""
    run = Run(planned_folder(config, app))
    return config.resume == "auto" and run.config_file.exists() and find_weights(run, "last") is not None
