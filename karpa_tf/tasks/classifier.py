"""Image classifiers: making the trainer, and loading, describing and exporting a finished run."""

import dataclasses
from pathlib import Path

import numpy as np

from karpa_tf.configs.classifier import FAMILIES, ClassifierConfig
from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.folder import try_read_square
from karpa_tf.data.images.splits import load_splits
from karpa_tf.errors import UserError
from karpa_tf.evaluation import classification
from karpa_tf.export import examples
from karpa_tf.export.classifier import make_classifier_export
from karpa_tf.export.versions import load_version
from karpa_tf.layers.batch_norm import synchronize_batch_norm
from karpa_tf.models import classifiers
from karpa_tf.system.console import warn
from karpa_tf.tasks import masked_image
from karpa_tf.tasks.task import FinishedRun, Task
from karpa_tf.tasks.task import read_config as read_task_config
from karpa_tf.training import pretrained_images
from karpa_tf.training.optimizers import make_parameter_groups
from karpa_tf.training.precision import policy_scope
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.classifier import Classifier
from karpa_tf.training.trainers.updates import compile_trainer
from karpa_tf.training.weights import copy_weights, require_weights

NAME, APP, TITLE = "classifier", "train_classifier", "image classification"

SMALL_SET = 1000
"""Number of training images below which pretrained weights are recommended."""


def make_trainer(config, splits, steps_per_epoch, jit_compile=False):
    """Returns the compiled trainer of a `ClassifierConfig`; call it in the scope of the strategy.

    Args:
        config: a `ClassifierConfig`, with the model of --init.
        splits: the `Splits` to train on.
        steps_per_epoch: number of steps in one epoch.
        jit_compile: whether to compile the step with XLA.
    """
    model = classifiers.make_classifier(config.model, config.input_shape, len(splits.classes))
    if config.sync_batch_norm:
        model = synchronize_batch_norm(model)
    if config.transfer.init:
        load_init_weights(model, config)
    else:
        classifiers.initialize_from_images(model, config.model, splits.train.images)
    if config.transfer.freeze == "features":
        classifiers.freeze_batch_norm(model)
    class_weights = splits.class_weights() if config.class_weights == "balanced" else None
    select = classifiers.extract_head if config.transfer.cache_features else None
    trainer = Classifier(model, config.label_smoothing, class_weights, config.optimization.ema, select=select)
    groups = make_parameter_groups(classifiers.split_by_depth(model), config.transfer, steps_per_epoch)
    compile_trainer(trainer, config, groups, steps_per_epoch, jit_compile)
    return trainer


def read_config(run, flag="--run"):
    """Returns the `ClassifierConfig` of a `Run`; raises `UserError` if it is a run of another task."""
    config_class = ClassifierConfig
    if run.metadata().get("task") == NAME:
        config_class = FAMILIES.get(run.read_config().get("model", {}).get("family"), ClassifierConfig)
    return read_task_config(run, NAME, APP, config_class, flag)


def load(run, kind=None, flag="--run"):
    """Returns the `FinishedRun` of a run.

    Its model maps images, float32 (batch, height, width, channels) in [-1, 1], to logits, averaged over the views of
    the config.
    """
    finished = load_network(run, kind, flag)
    with policy_scope("float32"):
        return dataclasses.replace(finished, model=classifiers.average_views(finished.model, finished.config.views))


def load_network(run, kind=None, flag="--run"):
    """Returns the `FinishedRun` of a run with the trained model itself."""
    config = read_config(run, flag)
    classes = run.metadata().get("data", {}).get("classes", ())
    weights = require_weights(run, kind, flag)
    with policy_scope("float32"):
        model = classifiers.make_classifier(config.model, config.input_shape, len(classes))
    weights.load(model)
    return FinishedRun(run, config, model, weights, tuple(classes))


def describe(finished):
    """Returns a line about the model of a `FinishedRun`."""
    shape = "x".join(map(str, finished.model.input_shape[1:]))
    name, count = finished.model.name, finished.model.count_params()
    return f"{name} for {shape} images, {len(finished.classes)} classes, {count:,} weights"


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    images = examples.load_images(finished.run, finished.model.input_shape[1:])
    return make_classifier_export(finished.model, finished.classes, images, task=TITLE)


def load_scorer(run=None, saved_model=None):
    """Returns a function from uint8 images (n, height, width, channels) to probabilities, float64 (n, classes).

    Args:
        run: path of a run folder, or None.
        saved_model: path of an exported classifier, instead of a run.

    Returns:
        The function; the class names; the image size and the channels; and the run's config, or None.
    """
    if run:
        finished = load(Run(run))
        score, image_format = classification.make_scorer(finished.model), finished.model.input_shape[2:]
        return score, finished.classes, image_format, finished.config
    return *classification.load_exported(load_version(saved_model)), None


def classify_files(run, saved_model, files, top):
    """Yields for every image file that can be read its name and a list of (class, probability), the best first.

    Args:
        run: path of a run folder, or None.
        saved_model: path of an exported classifier, instead of a run.
        files: list of paths; files that cannot be read are skipped with a warning.
        top: number of classes.
    """
    compute_probabilities, classes, (image_size, channels), _ = load_scorer(run, saved_model)
    readable = 0
    for start in range(0, len(files), classification.BATCH_SIZE):
        images = {}
        for file in files[start : start + classification.BATCH_SIZE]:
            image, reason = try_read_square(file, image_size, channels)
            if image is None:
                warn(reason)
            else:
                images[str(file)] = image
        if not images:
            continue
        readable += len(images)
        for name, row in zip(images, compute_probabilities(np.stack(list(images.values()))), strict=True):
            best = np.argsort(-row, kind="stable")[:top]
            yield name, [(classes[index], float(row[index])) for index in best]
    if not readable:
        raise UserError("None of the images can be read.")


def load_data(config):
    """Returns the `Splits` of a `ClassifierConfig`; raises `UserError` if they have only one class."""
    splits = load_splits(config.data, config.image_format, config.held_out_for_validation, config.test_fraction)
    if len(set(splits.train.labels.tolist())) < 2:
        only = splits.classes[splits.train.labels[0]]
        raise UserError(f"--data {config.data} has images of one class only ({only}); expected at least two.")
    return splits


def list_warnings(config, splits):
    """Returns messages about the `Splits` of a `ClassifierConfig` that a user should read before training."""
    messages, count = splits.warnings(), len(splits.train.images)
    if count < SMALL_SET and not config.transfer.init and Path(config.data).is_dir():
        messages.append(
            f"{count:,} training images are few for a network without pretrained weights; the preset transfer starts "
            "from weights trained on ImageNet."
        )
    return messages


def load_split(config, image_format, trained):
    """Returns the `ImageSet` that the flags of the evaluation program name.

    Args:
        config: flags: data, split, data_dir and cache_dir.
        image_format: image size and channels of the model.
        trained: config of the run, or None.

    Raises:
        UserError: there is no such data set or split.
    """
    format = ImageFormat(
        *image_format,
        config.data_dir or (trained.data_dir if trained else None),
        config.cache_dir or (trained.cache_dir if trained else None),
        "enlarge" if config.data else trained.small_images,
    )
    if not config.data:  # as they are in the cache already
        cache = trained.image_format
        format = dataclasses.replace(format, image_cache=cache.image_cache, needs_originals=cache.needs_originals)
    if config.data:
        splits = load_splits(config.data, format, 0, 0)
        split = splits.as_dict().get(config.split) if splits.has_held_out else splits.train
    else:
        splits = load_splits(trained.data, format, trained.held_out_for_validation, trained.test_fraction)
        split = splits.as_dict().get(config.split)
    if split is None:
        raise UserError(f"The data has no {config.split} split; choose another --split.")
    return split


def resolve_init(config):
    """Returns a config with the model that `--init` names: that of a run, or a published one."""
    init = config.transfer.init
    if init is None:
        return config
    if masked_image.is_run(init):
        return masked_image.adapt_classifier(config)
    if pretrained_images.is_run(init):
        other = read_config(Run(init), "--init")
        return _replace(config, type(other), model=other.model, image_size=other.image_size, channels=other.channels)
    model = pretrained_images.read_network(config, APP)
    return _replace(config, FAMILIES[model.family], model=model)


def load_init_weights(model, config):
    """Copies the weights that `--init` names into a new model, except for the logits."""
    init = config.transfer.init
    if masked_image.is_run(init):
        copy_weights(model, masked_image.load(Run(init), flag="--init").model, excluded=("logits",))
    elif pretrained_images.is_run(init):
        classifiers.copy_features(model, load_network(Run(init), flag="--init").model)
    else:
        pretrained_images.load_weights(model, config, APP)


def _replace(config, config_class, **changes):
    """Returns a config with changes, as another class of the same fields."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return config_class(**(values | changes))


TASK = Task(
    name=NAME,
    app=APP,
    title=TITLE,
    bfloat16=True,
    evaluated_on="examples that were not used for training",
    load=load,
    describe=describe,
    make_export=make_export,
    headline={"accuracy": "max", "log_loss": "min"},
    usage="python -m apps.classify --saved-model {saved_model} image.jpg",
)
