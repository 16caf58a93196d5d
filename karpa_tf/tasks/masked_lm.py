"""Masked language models: making the trainer, and loading, describing and exporting a finished run."""

import dataclasses
import functools
from pathlib import Path

from karpa_tf.configs.masked_lm import AdaptationConfig, MaskedLMConfig
from karpa_tf.data.text import batches
from karpa_tf.data.text import vocabulary as vocabularies
from karpa_tf.errors import UserError
from karpa_tf.evaluation.predictions import MASKED_TEXTS
from karpa_tf.export import examples
from karpa_tf.export.masked_lm import make_masked_lm_export, make_masked_lm_functions
from karpa_tf.export.text_functions import as_text_function, load_text_function
from karpa_tf.models import bert
from karpa_tf.system.console import warn
from karpa_tf.tasks.task import FinishedRun, Task, read_config
from karpa_tf.training.optimizers import ParameterGroup
from karpa_tf.training.precision import policy_scope
from karpa_tf.training.pretrained_text import (
    PretrainedText,
    open_published,
    require_norms_of_muon,
)
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.masked_lm import MaskedLM, Pretraining
from karpa_tf.training.trainers.updates import compile_trainer
from karpa_tf.training.weights import copy_weights, require_weights

NAME, APP, TITLE = "masked_lm", "train_mlm", "masked language model"

VOCABULARY_FILE = "vocabulary.txt"
"""In a run folder."""


def make_trainer(config, vocabulary, steps_per_epoch, jit_compile=False):
    """Returns the compiled trainer of a `MaskedLMConfig`; call it in the scope of the strategy.

    Args:
        config: a `MaskedLMConfig`.
        vocabulary: the `Vocabulary`.
        steps_per_epoch: number of steps in one epoch.
        jit_compile: whether to compile the step with XLA.
    """
    model = make_network(config, len(vocabulary))
    if config.init:
        _assign_init_weights(model, vocabulary, config)
    trainer = (Pretraining if config.nsp else MaskedLM)(model, config.optimization.ema)
    groups = [ParameterGroup(model.trainable_variables)]
    compile_trainer(trainer, config, groups, steps_per_epoch, jit_compile)
    return trainer


def make_network(config, vocabulary_size):
    """Returns the model of a `MaskedLMConfig`: that of `make_masked_lm`, or with --nsp that of `make_pretraining`."""
    make = bert.make_pretraining if config.nsp else bert.make_masked_lm
    return make(config.network, bert.make_encoder(config.network, vocabulary_size))


def find_vocabulary(config):
    """Returns the `Vocabulary` that a `MaskedLMConfig` names: of the run to resume, --vocabulary or --init; or None."""
    if config.run and config.resume == "auto" and (Path(config.run) / VOCABULARY_FILE).exists():
        own = load_vocabulary(Run(config.run))
        if config.vocabulary and Path(config.vocabulary).exists() and vocabularies.load(config.vocabulary) != own:
            raise UserError(f"--vocabulary {config.vocabulary} is not that of the run {config.run}; leave it out.")
        return own
    if config.vocabulary:
        return vocabularies.load(config.vocabulary)
    return open_init(config.init).vocabulary if config.init else None


def open_init(init):
    """Returns the `PretrainedText` of a run of this task, or of what `open_published` takes.

    Raises:
        UserError: there is no such model, or it is of another kind.
    """
    run = Run(init)
    if not run.config_file.exists():
        return open_published(init)
    network, vocabulary = read_masked_lm_config(run, "--init").network, load_vocabulary(run)
    return PretrainedText(init, network, vocabulary, lambda: (load(run, flag="--init").model, True))


def resolve_init(config):
    """Returns a config with the architecture of the model that `--init` names, if it names one; dropout stays its own.

    Args:
        config: a `MaskedLMConfig` or a `FinetuningConfig`.

    Raises:
        UserError: there is no such model, --sequence-length is more than it takes, or the preset needs a model.
    """
    if not config.init and isinstance(config, AdaptationConfig):
        raise UserError("The preset adapt continues from a pretrained model; name it by --init.")
    if not config.init:
        return config
    network = dataclasses.replace(open_init(config.init).network, dropout=config.model.dropout)
    network.require_length(config.sequence_length or 0)
    sizes = f"{network.num_layers} layers of {network.hidden_dim}, {network.position_embedding} positions"
    print(f"Sizes of --init {config.init}: {sizes}, up to {network.max_sequence_length} tokens")
    return dataclasses.replace(config, model=network)


def require_init(config):
    """Returns a `FinetuningConfig` as `resolve_init` does; raises `UserError` without --init."""
    if not config.init:
        raise UserError(
            "Name a pretrained masked language model to start from: --init RUN, or a folder of a published BERT."
        )
    return resolve_init(config)


def load_vocabulary(run):
    """Returns the `Vocabulary` of a `Run`."""
    return vocabularies.load(run.path / VOCABULARY_FILE)


def save_vocabulary(run, vocabulary):
    """Writes a `Vocabulary` to the folder of a `Run`; only the chief writes."""
    if run.writes:
        vocabulary.save(run.path / VOCABULARY_FILE)


def read_masked_lm_config(run, flag="--run"):
    """Returns the `MaskedLMConfig` of a `Run`; raises `UserError`, naming `flag`, if it is a run of another task."""
    return read_config(run, NAME, APP, MaskedLMConfig, flag)


def load(run, kind=None, flag="--run"):
    """Returns the `FinishedRun` of a run; its model is that of `make_network`."""
    config = read_masked_lm_config(run, flag)
    return load_finished(run, config, functools.partial(make_network, config), kind, flag=flag)


def load_finished(run, config, make_model, kind=None, classes=(), flag="--run"):
    """Returns the `FinishedRun` of a run of any task on texts.

    Args:
        run: a `Run` with a vocabulary.
        config: its config.
        make_model: function of the size of the vocabulary that returns the model.
        kind: which weights, as for `find_weights`.
        classes: names of its classes, if there are any.
        flag: the flag that named the run, for errors.
    """
    vocabulary, weights = load_vocabulary(run), require_weights(run, kind, flag)
    with policy_scope("float32"):
        model = make_model(len(vocabulary))
    weights.load(model)
    return FinishedRun(run, config, model, weights, tuple(classes), vocabulary)


def make_evaluator(finished):
    """Returns a compiled trainer of the model of a `FinishedRun`, for `evaluate`."""
    evaluator = (Pretraining if finished.config.nsp else MaskedLM)(finished.model)
    evaluator.compile([])
    return evaluator


def make_held_out_batches(config, tokens, masking):
    """Returns a dataset of held-out `Tokens` for `evaluate`, or None if no token of them is masked."""
    make = batches.make_held_out_pair_batches if config.nsp else batches.make_held_out_batches
    held_out = make(tokens, config.row_length, masking, config.batch_size)
    return held_out if any(batch["mask_weights"].any() for batch in held_out.as_numpy_iterator()) else None


def describe(finished):
    """Returns a line about the model of a `FinishedRun`; of a text classifier too."""
    encoder = finished.config.model
    return (
        f"BERT encoder of {encoder.num_layers} layers and {encoder.hidden_dim} dimensions, "
        f"{len(finished.vocabulary):,} tokens, {finished.model.count_params():,} weights"
    )


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    texts = examples.load_texts(finished.run)
    return make_masked_lm_export(finished.model, finished.vocabulary, finished.config.row_length, texts, task=TITLE)


def _assign_init_weights(model, vocabulary, config):
    init = open_init(config.init)
    if init.vocabulary != vocabulary:
        raise UserError(f"--init {config.init} has a vocabulary of its own; leave out --vocabulary.")
    pretrained, has_head = init.load()
    kept = copy_weights(model, pretrained)
    kept += [] if has_head else bert.HEAD
    if config.optimization.optimizer == "muon":
        require_norms_of_muon([layer for layer in model.layers if layer.name not in kept], config.init)
    if kept:
        warn(f"--init {config.init} has no weights for {', '.join(kept)}: these are new.")


def load_function(run, saved_model):
    """Returns the signature `serving_default` of `make_masked_lm_export` for `evaluation.predictions`.

    Args:
        run: path of a run folder, or None.
        saved_model: path of an exported version, instead of a run.

    Raises:
        UserError: the model is none of this task.
    """
    if run:
        finished = load(Run(run))
        functions, _ = make_masked_lm_functions(finished.model, finished.vocabulary, finished.config.row_length)
        return as_text_function(functions["serving_default"])
    return load_text_function(saved_model, *MASKED_TEXTS)


TASK = Task(
    name=NAME,
    app=APP,
    title=TITLE,
    bfloat16=True,
    evaluated_on="text that was not used for training",
    load=load,
    describe=describe,
    make_export=make_export,
    headline={"perplexity": "min", "accuracy": "max"},
    usage='python -m apps.fill_mask --saved-model {saved_model} "The [MASK] of a list."',
)
