"""Text classifiers: making the trainer, and loading, describing and exporting a finished run."""

import dataclasses

import numpy as np

from karpa_tf.configs.text_classifier import TextClassifierConfig
from karpa_tf.data.text.labeled_batches import make_token_rows
from karpa_tf.data.text.vocabulary import SEP, SPECIAL
from karpa_tf.errors import UserError
from karpa_tf.evaluation import baselines
from karpa_tf.evaluation.classification import compute_text_probabilities, save_report
from karpa_tf.evaluation.predictions import TEXT_PAIRS, TEXTS
from karpa_tf.export import examples
from karpa_tf.export.text_classifier import make_text_classifier_export, make_text_classifier_functions
from karpa_tf.export.text_functions import as_text_function, load_text_function
from karpa_tf.export.text_inputs import TextInputs
from karpa_tf.metrics.classification import summarize
from karpa_tf.models import bert
from karpa_tf.models.classifiers import split_by_depth
from karpa_tf.tasks import masked_lm
from karpa_tf.tasks.task import Task, read_config
from karpa_tf.training import ngrams
from karpa_tf.training.optimizers import make_parameter_groups
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.classifier import Classifier
from karpa_tf.training.trainers.updates import compile_trainer
from karpa_tf.training.weights import copy_weights

NAME, APP, TITLE = "text_classifier", "finetune_text", "text classification"

NGRAMS_FILE = "ngrams.npz"
"""In the folder of a run whose network is averaged with an n-gram model."""

CURVES = {
    "Loss (nats)": ("loss", "val_loss"),
    "Accuracy": ("accuracy", "val_accuracy"),
    "Texts per second": ("texts_per_second",),
}


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
    trainer = Classifier(model, config.label_smoothing, _weigh_classes(train, config), config.optimization.ema)
    groups = make_parameter_groups(split_by_depth(model), config.freezing, steps_per_epoch)
    # XLA needs to know the number of windows, and compiles for each length anew.
    compile_trainer(trainer, config, groups, steps_per_epoch, jit_compile and config.long_texts == "cut")
    return trainer


def describe_labels(train):
    """Returns a line about the labels of the `TextSet` to train on."""
    return f"{len(train.classes)} classes: {', '.join(train.classes[:10])}"


def add_ngrams(run, rows, splits, batches, config):
    """Fits an n-gram model after training, with which `load` then averages the network.

    Args:
        run: a `Run` with its last weights.
        rows: result of `tokenize`.
        splits: dict of `TextSet`; the weights of both models are learned on the validation split.
        batches: dict of datasets of `make_evaluation_text_batches`, by split.
        config: the `TextClassifierConfig`.
    """
    train, validation = splits["train"], splits.get("validation")
    # What has been exported stays as it is, also if it is of a version without n-grams.
    if not config.averages_ngrams or run.metadata().get("saved_model"):
        return
    if validation is None or not 2 <= len(np.unique(train.labels)) <= ngrams.MAX_CLASSES:
        print(f"No n-grams: they need a validation split, and 2 to {ngrams.MAX_CLASSES} classes.")
        return
    finished = load_network(run)
    model = ngrams.fit(rows["train"], train, len(finished.vocabulary), config)
    probabilities = compute_text_probabilities(finished.model, batches["validation"], len(validation))
    model, factors = model.weigh(probabilities, rows["validation"], validation.labels, _weigh_classes(train, config))
    model.save(run.path / NGRAMS_FILE)
    words = "Logits: {:.2f} times the network's + {:.2f} times those of n-grams, by the validation split"
    print(words.format(*factors))


def evaluate(run, splits, name, batches, config):
    """Writes the report of a run on the split `name` and prints its figures.

    Args:
        run: a `Run` with its last weights.
        splits: dict of `TextSet`.
        name: a key of `splits`.
        batches: dataset of `make_evaluation_text_batches` of that split.
        config: the `TextClassifierConfig`.
    """
    split = splits[name]
    models = [load(run).model, *([load_network(run).model] if (run.path / NGRAMS_FILE).exists() else [])]
    probabilities, *alone = (compute_text_probabilities(model, batches, len(split)) for model in models)
    parts = [{"name": "the network alone", **summarize(split.labels, values)} for values in alone]
    figures = baselines.measure_text_baselines(splits["train"], split, config) if config.baseline else []
    report = save_report(run.eval, split, probabilities, "text", figures, parts)
    accuracy = f"{name.capitalize()} accuracy {report['accuracy']:.2%}, F1 {report['macro_f1']:.4f}"
    print(f"{accuracy} of {len(split):,} texts; see {run.eval}")
    for part in parts:
        print(f"{'':10} {part['accuracy']:7.2%} by {part['name']}")
    baselines.print_comparison(report)


def tokenize(splits, vocabulary, length):
    """Returns the token ids of texts, as `make_token_rows` does, by split; prints their numbers.

    Args:
        splits: dict of `TextSet`.
        vocabulary: a `Vocabulary`.
        length: maximum number of tokens.
    """
    rows = {}
    for name, split in splits.items():
        rows[name], truncated = make_token_rows(split.texts, vocabulary, length, split.pairs)
        note = f", {truncated:,} of them truncated to {length} tokens" if truncated else ""
        if split.skipped:
            note += f"; {len(split.skipped):,} rows skipped, the first: {split.skipped[0]}"
        print(f"{name:10} {len(split):,} {'pairs of ' * bool(split.pairs)}texts{note}")
    return rows


def describe_data(config, splits):
    """Returns what `run.json` says about a dict of `TextSet` and the pretrained model of a `TextClassifierConfig`."""
    values = {name: split.metadata() for name, split in splits.items()}
    return {"classes": list(splits["train"].classes), "splits": values} | masked_lm.open_init(config.init).metadata()


def make_network(config, vocabulary_size, classes):
    """Returns the model of a `TextClassifierConfig`, from tokens to logits."""
    return bert.make_text_classifier(config.model, vocabulary_size, classes, **make_options(config))


def make_options(config):
    """Returns the options of `make_text_classifier` for a `TextClassifierConfig`, a dict."""
    return {
        "window_length": config.row_length if config.reads_windows else None,
        "separator_id": SPECIAL.index(SEP) if config.pair_field else None,
    }


def load(run, kind=None):
    """Returns the `FinishedRun` of a run; its model maps tokens to logits, averaged with those of n-grams."""
    finished, path = load_network(run, kind), run.path / NGRAMS_FILE
    if not path.exists():
        return finished
    return dataclasses.replace(finished, model=ngrams.load(path).add_to(finished.model))


def load_network(run, kind=None):
    """Returns the `FinishedRun` of a run as `load` does, but of the network alone."""
    config = read_config(run, NAME, f"{APP} with classes", TextClassifierConfig)
    classes = run.metadata().get("data", {}).get("classes", ())
    return masked_lm.load_finished(run, config, lambda size: make_network(config, size, len(classes)), kind, classes)


def describe(finished):
    """Returns a line about the model of a `FinishedRun`."""
    beside = ", n-grams included" if (finished.run.path / NGRAMS_FILE).exists() else ""
    return f"{len(finished.classes)} classes, {masked_lm.describe(finished)}{beside}"


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    texts = examples.load_texts(finished.run)
    return make_text_classifier_export(finished.model, make_inputs(finished), finished.classes, texts, task=TITLE)


def make_inputs(finished):
    """Returns the `TextInputs` of a `FinishedRun`."""
    config = finished.config
    return TextInputs(finished.vocabulary, config.max_tokens, config.pair_field is not None)


def require_inputs(finished, has_pairs):
    """Returns the `TextInputs` of a `FinishedRun`; raises `UserError` unless it is one of pairs, or of single texts."""
    inputs = make_inputs(finished)
    if has_pairs != (len(inputs.names) > 1):
        kind = "single texts; leave out --text-pair" if has_pairs else "pairs of texts; give --text-pair"
        raise UserError(f"--run {finished.run.path} was trained on {kind}.")
    return inputs


def load_function(run, saved_model, has_pairs=False):
    """Returns the signature `serving_default` of `make_text_classifier_export` for `evaluation.predictions`.

    Args:
        run: path of a run folder, or None.
        saved_model: path of an exported version, instead of a run.
        has_pairs: whether to classify pairs of texts.

    Raises:
        UserError: the model is none of this task, or of one text where there are two, or the other way round.
    """
    if not run:
        return load_text_function(saved_model, *(TEXT_PAIRS if has_pairs else TEXTS))
    finished = load(Run(run))
    inputs = require_inputs(finished, has_pairs)
    functions, _ = make_text_classifier_functions(finished.model, inputs, finished.classes)
    return as_text_function(functions["serving_default"])


def _weigh_classes(train, config):
    """Returns the weights of classes in the loss, float64 (classes,), or None."""
    counts = np.bincount(train.labels, minlength=len(train.classes))
    return len(train) / (len(train.classes) * counts) if config.class_weights == "balanced" else None


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
    usage='python -m apps.classify --saved-model {saved_model} --text "A text to classify."  # pairs: --text-pair too',
)
