"""Embedders of texts: making the trainer, and loading, describing, evaluating and exporting a finished run."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from karpa_tf.configs.embedder import EmbedderConfig
from karpa_tf.data.text.labeled_batches import make_token_rows
from karpa_tf.errors import UserError
from karpa_tf.evaluation import retrieval
from karpa_tf.evaluation.predictions import EMBEDDINGS, embed_texts
from karpa_tf.evaluation.results import read_json
from karpa_tf.export import card, examples
from karpa_tf.export.embedder import FACTORS, make_embedder_export, make_embedder_functions
from karpa_tf.export.text_functions import as_text_function, load_text_function
from karpa_tf.export.text_inputs import TextInputs
from karpa_tf.export.versions import find_version
from karpa_tf.models import bert
from karpa_tf.models.classifiers import split_by_depth
from karpa_tf.search.index import PROBE
from karpa_tf.serving import client
from karpa_tf.system.files import write_text
from karpa_tf.tasks import masked_lm
from karpa_tf.tasks.task import Task, read_config
from karpa_tf.training.optimizers import make_parameter_groups
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.contrastive import Contrastive
from karpa_tf.training.trainers.updates import compile_trainer
from karpa_tf.training.weights import copy_weights

NAME, APP, TITLE = "embedder", "finetune_embedder", "text embedding"

FACTORS_FILE = "factors.json"
"""In the folder of a run with a validation split: factors of similarities and of BM25, for searching by both."""

DEFAULT_FACTORS = (5.0, 1.0)
"""Of models whose factors are not known."""

CURVES = {
    "Loss (nats)": ("loss", "val_loss"),
    "Accuracy within a batch": ("accuracy", "val_accuracy"),
    "Texts per second": ("texts_per_second",),
}


def make_trainer(config, vocabulary, steps_per_epoch):
    """Returns the compiled trainer of an `EmbedderConfig`; call it in the scope of the strategy.

    Args:
        config: an `EmbedderConfig`, with the model of --init.
        vocabulary: the `Vocabulary` of --init.
        steps_per_epoch: number of steps in one epoch.
    """
    model = make_network(config, len(vocabulary))
    if not config.scratch:
        copy_weights(model, masked_lm.open_init(config.init).load()[0])
    trainer = Contrastive(model, config.temperature, config.optimization.ema)
    _, *features = split_by_depth(model)  # There is nothing after the features.
    compile_trainer(trainer, config, make_parameter_groups(features, config.freezing, steps_per_epoch), steps_per_epoch)
    return trainer


def tokenize(splits, vocabulary, length):
    """Returns the token ids of the first and of the second texts by split, or None for these; prints their numbers.

    Args:
        splits: dict of `TextSet`, result of `load_related_splits`.
        vocabulary: a `Vocabulary`.
        length: maximum number of tokens of a text.
    """
    rows = {}
    for name, split in splits.items():
        columns = [make_token_rows(texts, vocabulary, length) for texts in (split.texts, split.pairs) if texts]
        truncated = sum(count for _, count in columns)
        note = f", {truncated:,} of the texts truncated to {length} tokens" if truncated else ""
        if split.skipped:
            note += f"; {len(split.skipped):,} rows skipped, the first: {split.skipped[0]}"
        print(f"{name:10} {len(split):,} {'pairs of ' * bool(split.pairs)}texts{note}")
        rows[name] = tuple(ids for ids, _ in columns) if split.pairs else (columns[0][0], None)
    return rows


def describe_data(config, splits):
    """Returns what `run.json` says about a dict of `TextSet` and the pretrained model of an `EmbedderConfig`."""
    return {"splits": {name: split.metadata() for name, split in splits.items()}} | masked_lm.open_init(
        config.init
    ).metadata()


def weigh_words(run, splits, batches):
    """Fits the factors by which similarities and BM25 are added, on the validation split if there is one.

    Args:
        run: a `Run` with its last weights.
        splits: dict of `TextSet`.
        batches: dict of datasets of `make_evaluation_pair_batches`, by split.
    """
    validation = splits.get("validation")
    # What has been exported stays as it is.
    if validation and not run.metadata().get("saved_model"):
        embeddings = retrieval.compute_embeddings(load(run).model, batches["validation"], len(validation))
        factors = dict(zip(("similarity", "bm25"), retrieval.weigh(validation, embeddings), strict=True))
        write_text(run.path / FACTORS_FILE, json.dumps(factors))


def find_factors(run, saved_model):
    """Returns the factors of similarities and of BM25 of a run or of an exported version, or the default ones."""
    if run:
        return tuple(read_json(Path(run, FACTORS_FILE)).values()) or DEFAULT_FACTORS
    details = card.read(find_version(saved_model)).get("details", {}) if saved_model else {}
    return tuple(details.get(FACTORS, DEFAULT_FACTORS))


def evaluate(run, splits, name, batches, config):
    """Writes the report of a run on the split `name` and prints its figures; arguments as for text classifiers."""
    embeddings = retrieval.compute_embeddings(load(run).model, batches, len(splits[name]))
    factors = find_factors(run.path, None) if (run.path / FACTORS_FILE).exists() else None
    report = retrieval.save_report(run.eval, splits[name], embeddings, config.baseline, factors)
    retrieval.print_report(report, name)


def make_network(config, vocabulary_size):
    """Returns the model of an `EmbedderConfig`, from tokens to embeddings."""
    return bert.make_embedder(config.model, vocabulary_size, config.row_length)


def load(run, kind=None):
    """Returns the `FinishedRun` of a run; its model maps tokens to embeddings, of texts of any length."""
    config = read_config(run, NAME, APP, EmbedderConfig)
    return masked_lm.load_finished(run, config, lambda size: make_network(config, size), kind)


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    texts, factors = examples.load_texts(finished.run), find_factors(finished.run.path, None)
    return make_embedder_export(finished.model, _make_inputs(finished), texts, factors, task=TITLE)


def load_function(run, saved_model):
    """Returns the signature `serving_default` of `make_embedder_export` for `evaluation.predictions`.

    Args:
        run: path of a run folder, or None.
        saved_model: path of an exported version, instead of a run.

    Raises:
        UserError: the model is none of this task.
    """
    if not run:
        return load_text_function(saved_model, *EMBEDDINGS)
    finished = load(Run(run))
    functions, _ = make_embedder_functions(finished.model, _make_inputs(finished))
    return as_text_function(functions["serving_default"])


def connect(source):
    """Returns the function of a `ModelSource`, as `load_function` does, which may be a model on a server."""
    if source.server:
        return client.connect(source).function(*EMBEDDINGS)
    return load_function(source.run, source.saved_model)


def describe_source(source):
    """Returns what an index says about the model of a `ModelSource`, a dict: `source`, its fields, and `factors`."""
    names = ("server", "model", "version")
    values = {name: getattr(source, name) for name in names if getattr(source, name) is not None}
    if source.run:
        values["run"] = str(Path(source.run).absolute())
    if source.saved_model:
        values["saved_model"] = str(find_version(source.saved_model).absolute())
    return {"source": values, "factors": find_factors(source.run, source.saved_model)}


def search(index, queries, config):
    """Returns a list of (query, [(text, score), ...]), the best texts first.

    Args:
        index: a `SearchIndex`.
        queries: list of strings.
        config: flags of the program: a `ModelSource`, `by` and `top`; without a model, that of the index is used.

    Raises:
        UserError: a query is blank, or the model is not that of the index.
    """
    if not queries or not all(map(str.strip, queries)):
        raise UserError("There is no query, or a blank one; give words to search for.")
    embeddings = None
    if config.by != "words":
        if not (config.run or config.saved_model or config.server):
            config = dataclasses.replace(config, **index.metadata["source"])
            folder = config.run or config.saved_model
            if folder and not Path(folder).exists():
                raise UserError(
                    f"The model of the index, {folder}, is gone; name it by --run, --saved-model or --server, or "
                    "search --by words."
                )
        config.require_source()
        embed = connect(config)
        index.require_model(next(embed_texts(embed, [PROBE])))
        embeddings = np.concatenate(list(embed_texts(embed, queries)))
    return index.search(config.by, queries, embeddings, config.top)


def _make_inputs(finished):
    return TextInputs(finished.vocabulary, finished.config.max_tokens)


TASK = Task(
    name=NAME,
    app=APP,
    title=TITLE,
    bfloat16=False,
    evaluated_on="texts that were not used for training",
    load=load,
    describe=masked_lm.describe,
    make_export=make_export,
    headline={"mrr": "max", "recall_at_1": "max", "recall_at_10": "max"},
    usage="python -m apps.index_texts --saved-model {saved_model} --data FOLDER --index INDEX\n"
    'python -m apps.search --index INDEX "What to look for."',
)
