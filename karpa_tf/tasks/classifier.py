"""Classifiers that have been trained: a run folder's config, model and weights."""

import dataclasses
from pathlib import Path

import keras

from karpa_tf.configs.application import APPLICATIONS, ApplicationConfig
from karpa_tf.configs.classifier import FAMILIES, Application
from karpa_tf.configs.run import from_dict
from karpa_tf.errors import UserError, nearest
from karpa_tf.evaluation import classification as evaluation
from karpa_tf.export import examples
from karpa_tf.export.classifier import make_classifier_export
from karpa_tf.export.versions import load_version
from karpa_tf.models.application import load_application
from karpa_tf.models.classifiers import average_views, copy_features, make_classifier
from karpa_tf.training.run import Run
from karpa_tf.training.weights import find_weights


def read_config(run):
    """Returns the config of a classifier's `Run`; raises `UserError` if it holds none, or another kind of run."""
    values = run.read_config()
    family = values.get("model", {}).get("family") if isinstance(values, dict) else None
    if family not in FAMILIES:
        raise UserError(f"--run {run.path} holds no classifier's run.")
    return from_dict(FAMILIES[family], values)


def load_classifier(run):
    """Returns the model to use of a run: images, float32 (batch, height, width, channels) in [-1, 1], to logits.

    Its weights are those of the newest checkpoint, or of the best epoch where early stopping kept one; it averages over
    the views of its config, and computes in float32 whatever it was trained in. Returned with the config and the
    classes' names.
    """
    model, config, classes, _ = _load(run)
    return model, config, classes


def make_export(run, kind=None):
    """Returns the `Export` of a `Run` and its `Weights`, of a kind as for `find_weights`."""
    model, _, classes, weights = _load(run, kind)
    return make_classifier_export(model, classes, examples.load_images(run, model.input_shape[1:])), weights


def _load(run, kind=None):
    config = read_config(run)
    keras.config.set_dtype_policy("float32")
    model, classes, weights = _learned(run, "--run", config, kind)
    return average_views(model, config.views), config, classes, weights


def load_scorer(run=None, saved_model=None):
    """Returns a function from uint8 images (n, side, side, channels) to probabilities, float64 (n, classes).

    Args:
        run: path of a run folder of train_classifier, or None.
        saved_model: path of an exported classifier, in place of a run.

    Returns:
        The function; the classes' names; the side and the channels of the images; and the config of the run, or None.
    """
    if run:
        model, config, classes = load_classifier(Run(run))
        return evaluation.scorer(model), classes, model.input_shape[2:], config
    return *evaluation.load_exported(load_version(saved_model)), None


def resolve_init(config):
    """Returns a config with the network that `--init` names: that of a run, or one of keras.applications."""
    init = config.transfer.init
    if init is None:
        return config
    if init in APPLICATIONS:
        model = ApplicationConfig(application=init)
        if config.model.family == "application":
            model = dataclasses.replace(config.model, application=init)
        return _changed(config, Application, model=model)
    if Path(init).is_dir():
        other = read_config(Run(init))
        return _changed(config, type(other), model=other.model, image_size=other.side, channels=other.channels)
    raise UserError(
        f"--init {init} is neither a run folder nor a network of keras.applications{nearest(init, APPLICATIONS)}"
    )


def load_init_weights(model, config):
    """Brings the weights that `--init` names into a new model; the logits stay as they are."""
    init = config.transfer.init
    if init in APPLICATIONS:
        load_application(model, config.model, config.transfer.init_weights)
        return
    learned, *_ = _learned(Run(init), "--init", config)
    copy_features(model, learned)


def _learned(run, flag, config, kind=None):
    """Returns the network of a run, under the present policy, its classes' names and the `Weights` that it has."""
    classes = run.metadata().get("data", {}).get("classes")
    weights = find_weights(run, kind)
    if not (classes and weights):
        raise UserError(f"{flag} {run.path} has no checkpoint yet; expected a run of train_classifier that has one.")
    model = make_classifier(config.model, (config.image_size, config.image_size, config.channels), len(classes))
    weights.load(model)
    return model, tuple(classes), weights


def _changed(config, kind, **changes):
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return kind(**(values | changes))
