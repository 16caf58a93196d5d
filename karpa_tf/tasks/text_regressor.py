"""Numbers for texts: making the trainer, and loading, describing, evaluating and exporting a finished run."""

import numpy as np

from karpa_tf.configs.text_classifier import TextClassifierConfig
from karpa_tf.evaluation import regression
from karpa_tf.evaluation.predictions import PAIR_VALUES, TEXT_VALUES
from karpa_tf.export import examples
from karpa_tf.export.text_functions import as_text_function, load_text_function
from karpa_tf.export.text_regressor import make_text_regressor_export, make_text_regressor_functions
from karpa_tf.models.bert import make_text_regressor
from karpa_tf.models.classifiers import split_by_depth
from karpa_tf.tasks import masked_lm, text_classifier
from karpa_tf.tasks.task import Task, read_config
from karpa_tf.training.optimizers import make_parameter_groups
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.regressor import Regressor
from karpa_tf.training.trainers.updates import compile_trainer
from karpa_tf.training.weights import copy_weights

NAME, APP, TITLE = "text_regressor", text_classifier.APP, "text regression"

CURVES = {
    "Squared error (variances)": ("loss", "val_loss"),
    "Mean absolute error": ("mean_absolute_error", "val_mean_absolute_error"),
    "Texts per second": ("texts_per_second",),
}


def make_trainer(config, train, vocabulary, steps_per_epoch, jit_compile=False):
    """Returns the compiled trainer of a `TextClassifierConfig`; arguments are those for text classifiers."""
    mean, stddev = _measure(train)
    model = make_network(config, len(vocabulary), mean, stddev)
    if not config.scratch:
        copy_weights(model, masked_lm.open_init(config.init).load()[0], excluded=("logits",))
    trainer = Regressor(model, stddev, config.optimization.ema)
    groups = make_parameter_groups(split_by_depth(model), config.freezing, steps_per_epoch)
    compile_trainer(trainer, config, groups, steps_per_epoch, jit_compile and config.long_texts == "cut")
    return trainer


def make_network(config, vocabulary_size, mean, stddev):
    """Returns the model of a `TextClassifierConfig`, from tokens to numbers of this mean and standard deviation."""
    options = text_classifier.make_options(config)
    return make_text_regressor(config.model, vocabulary_size, mean, stddev, **options)


def describe_labels(train):
    """Returns a line about the labels of the `TextSet` to train on."""
    mean, stddev = _measure(train)
    return f"Numbers from {train.labels.min():.4g} to {train.labels.max():.4g}, {mean:.4g} ± {stddev:.4g}"


def describe_data(config, splits):
    """Returns what `run.json` says about a dict of `TextSet` and the pretrained model of a `TextClassifierConfig`."""
    values = text_classifier.describe_data(config, splits)
    values.pop("classes")
    return values | dict(zip(("mean", "stddev"), _measure(splits["train"]), strict=True))


def evaluate(run, splits, name, batches, config):
    """Writes the report of a run on the split `name` and prints its figures; arguments as for text classifiers."""
    split = splits[name]
    predictions = regression.compute_values(load(run).model, batches, len(split))
    baselines = regression.measure_baselines(splits["train"], split) if config.baseline else {}
    report = regression.save_report(run.eval, split, predictions, baselines)
    print(f"{regression.summarize(report, name)}\nsee {run.eval}")


def load(run, kind=None):
    """Returns the `FinishedRun` of a run; its model maps tokens to numbers."""
    config = read_config(run, NAME, f"{APP} --regression", TextClassifierConfig)
    data = run.metadata().get("data", {})
    mean, stddev = data.get("mean", 0.0), data.get("stddev", 1.0)
    return masked_lm.load_finished(run, config, lambda size: make_network(config, size, mean, stddev), kind)


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    texts = examples.load_texts(finished.run)
    return make_text_regressor_export(finished.model, text_classifier.make_inputs(finished), texts, task=TITLE)


def load_function(run, saved_model, has_pairs=False):
    """Returns the signature `serving_default` of `make_text_regressor_export`; arguments as for text classifiers."""
    if not run:
        return load_text_function(saved_model, *(PAIR_VALUES if has_pairs else TEXT_VALUES))
    finished = load(Run(run))
    inputs = text_classifier.require_inputs(finished, has_pairs)
    functions, _ = make_text_regressor_functions(finished.model, inputs)
    return as_text_function(functions["serving_default"])


def _measure(train):
    """Returns the mean and the standard deviation of the labels, floats; the latter is 1 if they are all equal."""
    labels = train.labels.astype(np.float64)
    return float(labels.mean()), float(labels.std()) if np.ptp(labels) else 1.0


TASK = Task(
    name=NAME,
    app=APP,
    title=TITLE,
    bfloat16=False,
    evaluated_on="examples that were not used for training",
    load=load,
    describe=masked_lm.describe,
    make_export=make_export,
    headline={"spearman": "max", "pearson": "max", "rmse": "min"},
    usage='python -m apps.rate_text --saved-model {saved_model} --text "A text to rate."  # pairs: --text-pair too',
)
