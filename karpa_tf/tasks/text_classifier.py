"""Text classifiers: making the trainer, and loading, describing and exporting a finished run."""

import numpy as np

from karpa_tf.configs.text_classifier import TextClassifierConfig
from karpa_tf.data.text.labeled_batches import make_token_rows
from karpa_tf.evaluation.predictions import TEXTS
from karpa_tf.export import examples
from karpa_tf.export.text_classifier import make_text_classifier_export, make_text_classifier_functions
from karpa_tf.models import bert
from karpa_tf.models.classifiers import split_by_depth
from karpa_tf.tasks import masked_lm
from karpa_tf.tasks.task import FinishedRun, Task, read_config
from karpa_tf.training.optimizers import make_parameter_groups
from karpa_tf.training.precision import policy_scope
from karpa_tf.training.pretrained_text import copy_weights
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.classifier import Classifier
from karpa_tf.training.trainers.updates import compile_trainer
from karpa_tf.training.weights import require_weights

NAME, APP, TITLE = "text_classifier", "finetune_text", "text classification"


def make_trainer(config, train, vocabulary, steps_per_epoch, jit_compile=False):
    """Returns the compiled trainer of a `TextClassifierConfig`; call it in the scope of the strategy.

    Args:
        config: a `TextClassifierConfig`, with the model of --init.
        train: the `TextSet` to train on.
        vocabulary: the `Vocabulary` of --init.
        steps_per_epoch: number of steps in one epoch.
        jit_compile: whether to compile the step with XLA.
    """
    model = make_network(config, len(vocabulary), len(train.classes))
    if not config.scratch:
        copy_weights(model, masked_lm.open_init(config.init).load()[0], excluded=("logits",))
    counts = np.bincount(train.labels, minlength=len(train.classes))
    class_weights = len(train) / (len(train.classes) * counts) if config.class_weights == "balanced" else None
    trainer = Classifier(model, config.label_smoothing, class_weights, config.optimization.ema)
    groups = make_parameter_groups(split_by_depth(model), config.freezing, steps_per_epoch)
    # XLA needs to know the number of windows.
    compile_trainer(trainer, config, groups, steps_per_epoch, jit_compile and config.long_texts == "cut")
    return trainer


def tokenize(splits, vocabulary, length):
    """Returns the token ids of texts, as `make_token_rows` does, by split; prints their numbers.

    Args:
        splits: dict of `TextSet`.
        vocabulary: a `Vocabulary`.
        length: maximum number of tokens.
    """
    rows = {}
    for name, split in splits.items():
        rows[name], truncated = make_token_rows(split.texts, vocabulary, length)
        note = f", {truncated:,} of them truncated to {length} tokens" if truncated else ""
        if split.skipped:
            note += f"; {len(split.skipped):,} rows skipped, the first: {split.skipped[0]}"
        print(f"{name:10} {len(split):,} texts{note}")
    return rows


def describe_data(config, splits):
    """Returns what `run.json` says about a dict of `TextSet` and the pretrained model of a `TextClassifierConfig`."""
    values = {
        name: {"count": len(split), "fingerprint": split.fingerprint, "skipped": list(split.skipped)}
        for name, split in splits.items()
    }
    return {"classes": list(splits["train"].classes), "splits": values} | masked_lm.open_init(config.init).metadata()


def make_network(config, vocabulary_size, classes):
    """Returns the model of a `TextClassifierConfig`, from tokens to logits."""
    window_length = config.row_length if config.long_texts == "windows" else None
    return bert.make_text_classifier(config.model, vocabulary_size, classes, window_length)


def load(run, kind=None):
    """Returns the `FinishedRun` of a run; its model maps tokens to logits."""
    config, vocabulary = read_config(run, NAME, APP, TextClassifierConfig), masked_lm.load_vocabulary(run)
    classes = run.metadata().get("data", {}).get("classes", ())
    weights = require_weights(run, kind)
    with policy_scope("float32"):
        model = make_network(config, len(vocabulary), len(classes))
    weights.load(model)
    return FinishedRun(run, config, model, weights, tuple(classes), vocabulary)


def describe(finished):
    """Returns a line about the model of a `FinishedRun`."""
    return f"{len(finished.classes)} classes, {masked_lm.describe(finished)}"


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    texts = examples.load_texts(finished.run)
    return make_text_classifier_export(
        finished.model,
        finished.vocabulary,
        finished.config.max_tokens,
        finished.classes,
        texts,
        task=TITLE,
    )


def load_function(run, saved_model):
    """Returns the signature `serving_default` of `make_text_classifier_export` for `evaluation.predictions`.

    Args:
        run: path of a run folder, or None.
        saved_model: path of an exported version, instead of a run.

    Raises:
        UserError: the model is none of this task.
    """
    if run:
        finished = load(Run(run))
        model, length = finished.model, finished.config.max_tokens
        functions, *_ = make_text_classifier_functions(model, finished.vocabulary, length, finished.classes)
        return masked_lm.as_text_function(functions["serving_default"])
    return masked_lm.load_text_function(saved_model, *TEXTS)


TASK = Task(
    name=NAME,
    app=APP,
    title=TITLE,
    bfloat16=True,
    evaluated_on="examples that were not used for training",
    load=load,
    describe=describe,
    make_export=make_export,
    headline={"accuracy": "max", "macro_f1": "max", "log_loss": "min"},
    usage='python -m apps.classify --saved-model {saved_model} --text "A text to classify."',
)
