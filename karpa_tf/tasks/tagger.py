"""Taggers, which mark spans of texts: making the trainer, and loading, describing and exporting a finished run."""

from pathlib import Path

import numpy as np

from karpa_tf.configs.tagger import TaggerConfig
from karpa_tf.data.text.tagged_batches import make_tagged_rows
from karpa_tf.data.text.tags import count_tags
from karpa_tf.errors import UserError
from karpa_tf.evaluation.predictions import SPANS
from karpa_tf.export import examples
from karpa_tf.export.meta_graph import SAVED_MODEL, list_versions
from karpa_tf.export.tagger import make_tagger_export, make_tagger_functions
from karpa_tf.export.text_functions import as_text_function, load_text_function
from karpa_tf.export.text_inputs import TextInputs
from karpa_tf.models import bert
from karpa_tf.models.classifiers import split_by_depth
from karpa_tf.tasks import masked_lm
from karpa_tf.tasks.task import Task, read_config
from karpa_tf.training.optimizers import make_parameter_groups
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.classifier import Classifier
from karpa_tf.training.trainers.updates import compile_trainer
from karpa_tf.training.weights import copy_weights

NAME, APP, TITLE = "tagger", "finetune_tagger", "token classification"


def make_trainer(config, rows, vocabulary, classes, steps_per_epoch):
    """Returns the compiled trainer of a `TaggerConfig`; call it in the scope of the strategy.

    Args:
        config: a `TaggerConfig`, with the model of --init.
        rows: dict of `TaggedRows` by split; those of `train` weigh the classes.
        vocabulary: the `Vocabulary` of --init.
        classes: names of the types of spans.
        steps_per_epoch: number of steps in one epoch.
    """
    model = make_network(config, len(vocabulary), len(classes))
    if not config.scratch:
        copy_weights(model, masked_lm.open_init(config.init).load()[0], excluded=("logits",))
    tags = np.concatenate(rows["train"].tags)
    counts = np.bincount(tags, minlength=count_tags(len(classes)))
    balanced = counts.sum() / (len(counts) * np.maximum(counts, 1))
    class_weights = balanced if config.class_weights == "balanced" else None
    words = max(len(tags), 1) / len(rows["train"].tags)
    trainer = Classifier(model, config.label_smoothing, class_weights, config.optimization.ema, words)
    groups = make_parameter_groups(split_by_depth(model), config.freezing, steps_per_epoch)
    # XLA would compile for every number of tokens and of words anew.
    compile_trainer(trainer, config, groups, steps_per_epoch)
    return trainer


def tokenize(splits, vocabulary, length):
    """Returns the `TaggedRows` of a dict of `TaggedSet` by split; prints their numbers, and what the vocabulary loses.

    Args:
        splits: dict of `TaggedSet`.
        vocabulary: a `Vocabulary`.
        length: maximum number of tokens.
    """
    rows = {}
    for name, split in splits.items():
        rows[name] = make_tagged_rows(split, vocabulary, length)
        spans = sum(map(len, split.spans))
        note = f", {rows[name].truncated:,} of them truncated to {length} tokens" if rows[name].truncated else ""
        if rows[name].within_words:
            note += f"; {rows[name].within_words:,} spans begin or end within a word, which cannot be learned"
        if split.skipped:
            note += f"; {len(split.skipped):,} skipped, the first: {split.skipped[0]}"
        print(f"{name:10} {len(split):,} texts of {Path(split.name).name} with {spans:,} spans{note}")
    if vocabulary.lowercase and any(text != text.lower() for text in splits["train"].texts):
        lost = "capital letters, by which names are told, are lost"
        print(f"The vocabulary of --init is in lowercase: {lost}; {masked_lm.APP} --no-lowercase keeps them.")
    return rows


def describe_data(config, splits):
    """Returns what `run.json` says about a dict of `TaggedSet` and the pretrained model of a `TaggerConfig`."""
    values = {
        name: {
            "count": len(split),
            "fingerprint": split.fingerprint,
            "spans": split.count_spans(),
            "skipped": list(split.skipped),
        }
        for name, split in splits.items()
    }
    return {"classes": list(splits["train"].classes), "splits": values} | masked_lm.open_init(config.init).metadata()


def make_network(config, vocabulary_size, classes):
    """Returns the model of a `TaggerConfig` for a number of types of spans."""
    return bert.make_tagger(config.model, vocabulary_size, count_tags(classes), config.row_length)


def load(run, kind=None, flag="--run"):
    """Returns the `FinishedRun` of a run; its model maps tokens and words to logits, of texts of any length."""
    config = read_config(run, NAME, APP, TaggerConfig, flag)
    classes = run.metadata().get("data", {}).get("classes", ())

    def make_model(vocabulary_size):
        return make_network(config, vocabulary_size, len(classes))

    return masked_lm.load_finished(run, config, make_model, kind, classes, flag)


def describe(finished):
    """Returns a line about the model of a `FinishedRun`."""
    return f"{len(finished.classes)} types of spans, {masked_lm.describe(finished)}"


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    inputs, texts = _make_inputs(finished), examples.load_texts(finished.run)
    return make_tagger_export(finished.model, inputs, finished.classes, texts, task=TITLE)


def load_function(run, saved_model, flag="--run"):
    """Returns the signature `serving_default` of `make_tagger_export` for `evaluation.predictions`.

    Args:
        run: path of a run folder, or None.
        saved_model: path of an exported version, instead of a run.
        flag: the flag that named the run, for errors.

    Raises:
        UserError: the model is none of this task.
    """
    if run:
        finished = load(Run(run), flag=flag)
        functions, _ = make_tagger_functions(finished.model, _make_inputs(finished), finished.classes)
        return as_text_function(functions["serving_default"])
    return load_text_function(saved_model, *SPANS)


def load_run_or_version(folder, flag):
    """Returns the function of `load_function` for the folder of a run, or of an exported version, that `flag` named."""
    is_run = Run(folder).config_file.exists()
    if not is_run and not list_versions(folder) and not Path(folder, SAVED_MODEL).is_file():
        raise UserError(f"{flag} {folder} is neither a run of {APP} nor an exported version.")
    return load_function(folder if is_run else None, folder, flag)


def _make_inputs(finished):
    return TextInputs(finished.vocabulary, finished.config.max_tokens)


TASK = Task(
    name=NAME,
    app=APP,
    title=TITLE,
    bfloat16=False,
    evaluated_on="texts that were not used for training",
    load=load,
    describe=describe,
    make_export=make_export,
    headline={"f1": "max", "precision": "max", "recall": "max"},
    usage='python -m apps.tag_text --saved-model {saved_model} "A text with names."',
)
