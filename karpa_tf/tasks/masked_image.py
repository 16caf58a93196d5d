"""Masked image modeling: making the trainer, and loading, describing and exporting a finished run."""

import dataclasses
from pathlib import Path

from karpa_tf.configs.classifier import ViT
from karpa_tf.configs.masked_image import MaskedImageConfig
from karpa_tf.data.images.masked_batches import make_held_out_batches
from karpa_tf.data.images.splits import load_unlabeled_splits
from karpa_tf.errors import UserError
from karpa_tf.evaluation import reconstruction
from karpa_tf.export import examples
from karpa_tf.export.masked_image import make_masked_image_export
from karpa_tf.models.masked_autoencoder import make_masked_autoencoder, make_reconstructor
from karpa_tf.models.vit import make_vit_encoder
from karpa_tf.tasks import task
from karpa_tf.tasks.task import FinishedRun, Task
from karpa_tf.training.optimizers import ParameterGroup
from karpa_tf.training.precision import policy_scope
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.masked_image import MaskedImages
from karpa_tf.training.trainers.updates import compile_trainer
from karpa_tf.training.weights import copy_weights, require_weights

NAME, APP, TITLE = "masked_image", "pretrain_images", "masked image modeling"


def load_data(config):
    """Returns the `Splits` of a `MaskedImageConfig`; its test split, if there is one, is for a classifier."""
    splits = load_unlabeled_splits(config.data, config.image_format, config.validation_fraction, config.test_fraction)
    return dataclasses.replace(splits, validation=splits.as_dict().get("validation"))  # None if it is empty


def describe_data(splits):
    """Returns what `run.json` says about `Splits`, a dict."""
    return {"splits": {name: split.metadata() for name, split in _used(splits).items()}}


def summarize_data(splits):
    """Returns a line for each of the `Splits`."""
    lines = [f"{name:10} {split.summary()}" for name, split in _used(splits).items()]
    if splits.test:
        lines.append(
            f"{'test':10} {len(splits.test.images):,} images, left out for classifiers that start from this run"
        )
    return "\n".join(lines)


def make_trainer(config, steps_per_epoch, jit_compile=False):
    """Returns the compiled trainer of a `MaskedImageConfig`; call it in the scope of the strategy.

    Args:
        config: a `MaskedImageConfig`.
        steps_per_epoch: number of steps in one epoch.
        jit_compile: whether to compile the step with XLA.
    """
    model = make_network(config)
    trainer = MaskedImages(model, config.model.patch_size, config.normalize_targets, config.optimization.ema)
    groups = [ParameterGroup(model.trainable_variables)]
    compile_trainer(trainer, config, groups, steps_per_epoch, jit_compile)
    return trainer


def make_network(config):
    """Returns the masked autoencoder of a `MaskedImageConfig`."""
    return make_masked_autoencoder(config.model, config.decoder, config.input_shape, config.num_masked)


def read_config(run, flag="--run"):
    """Returns the `MaskedImageConfig` of a `Run`; raises `UserError`, naming `flag`, if it is a run of another task."""
    return task.read_config(run, NAME, APP, MaskedImageConfig, flag)


def is_run(folder):
    """Returns whether a folder, whose path may be any text, holds a run of this task."""
    return Run(folder).metadata().get("task") == NAME if (Path(folder) / "run.json").is_file() else False


def adapt_classifier(config):
    """Returns a `ViT` config with the sizes of the encoder that its `--init` names; dropout stays its own.

    Args:
        config: a `ClassifierConfig` whose `--init` is a run of this task.

    Raises:
        UserError: the config is for networks of another family.
    """
    init = config.transfer.init
    if not isinstance(config, ViT):
        raise UserError(
            f"--init {init} is a vision transformer; choose a preset for one: cifar10_vit or images_vit, for example."
        )
    own = read_config(Run(init), "--init")
    kept = {field: getattr(config.model, field) for field in ("dropout", "stochastic_depth")}
    model = dataclasses.replace(own.model, **kept)
    shape = "x".join(map(str, own.input_shape))
    print(f"Sizes of --init {init}: {model.num_layers} layers of {model.hidden_dim}, for {shape} images")
    return dataclasses.replace(config, model=model, image_size=own.image_size, channels=own.channels)


def load(run, kind=None, flag="--run"):
    """Returns the `FinishedRun` of a run; its model is that of `make_network`."""
    config, weights = read_config(run, flag), require_weights(run, kind, flag)
    with policy_scope("float32"):
        model = make_network(config)
    weights.load(model)
    return FinishedRun(run, config, model, weights)


def make_encoder(finished):
    """Returns the model of images in [-1, 1] to embeddings, float32 (batch, hidden_dim), of a `FinishedRun`."""
    with policy_scope("float32"):
        encoder = make_vit_encoder(finished.config.model, finished.config.input_shape)
    copy_weights(encoder, finished.model)
    return encoder


def save_report(finished, splits):
    """Writes the report of a `FinishedRun` on the validation part of `Splits` and returns its content."""
    config, probes = finished.config, ()
    evaluator = MaskedImages(finished.model, config.model.patch_size, config.normalize_targets)
    evaluator.compile([])
    held_out = make_held_out_batches(splits.validation, config) if splits.validation else None
    if config.probe and splits.validation and len(set(splits.train.labels.tolist())) > 1:
        with policy_scope("float32"):
            random = make_vit_encoder(config.model, config.input_shape)
        probes = reconstruction.probe_embeddings(
            make_encoder(finished), random, splits.train, splits.validation, config.seed
        )
    return reconstruction.save_report(finished.run.eval, evaluator, held_out, probes)


def describe(finished):
    """Returns a line about the encoder of a `FinishedRun`."""
    encoder, shape = finished.config.model, "x".join(map(str, finished.config.input_shape))
    return (
        f"vision transformer of {encoder.num_layers} layers and {encoder.hidden_dim} dimensions for {shape} images, "
        f"{finished.model.count_params():,} weights with its decoder"
    )


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    config, shape = finished.config, finished.config.input_shape
    with policy_scope("float32"):
        reconstructor = make_reconstructor(config.model, config.decoder, shape)
    copy_weights(reconstructor, finished.model)
    return make_masked_image_export(
        make_encoder(finished),
        reconstructor,
        config.model.patch_size,
        config.normalize_targets,
        examples.load_images(finished.run, shape),
        task=TITLE,
    )


def _used(splits):
    return dataclasses.replace(splits, test=None).as_dict()


TASK = Task(
    name=NAME,
    app=APP,
    title=TITLE,
    bfloat16=False,
    evaluated_on="images that were not used for training",
    load=load,
    describe=describe,
    make_export=make_export,
    headline={"probe_accuracy": "max", "loss": "min"},
)
