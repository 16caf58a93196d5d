"""Text classifiers: what they start from, and what is in their run folders."""

import dataclasses

import keras

from karpa_tf.configs.run import from_dict
from karpa_tf.configs.text_classifier import TextClassifierConfig
from karpa_tf.errors import UserError
from karpa_tf.export import examples
from karpa_tf.export.text_classifier import make_text_classifier_export
from karpa_tf.models import bert
from karpa_tf.tasks import masked_lm as masked_lm_runs
from karpa_tf.training.run import Run
from karpa_tf.training.weights import find_weights


def resolve_init(config):
    """Returns a `TextClassifierConfig` with the network of the run that `--init` names; dropout stays its own.

    Raises:
        UserError: no run is named, or --sequence-length is more than its network takes.
    """
    if not config.init:
        raise UserError("Name the run of train_mlm to start from: --init RUN.")
    _, pretrained = masked_lm_runs.read_masked_lm(config.init, "--init")
    model = dataclasses.replace(masked_lm_runs.network_shape(pretrained), dropout=config.model.dropout)
    if (config.sequence_length or 0) > model.max_sequence_length:
        raise UserError(
            f"--sequence-length {config.sequence_length} is more than the {model.max_sequence_length} that the model of --init "
            "takes."
        )
    return dataclasses.replace(config, model=model)


def load_init_vocabulary(config):
    """Returns the `Vocabulary` of the run that `--init` names."""
    return masked_lm_runs.load_vocabulary(Run(config.init))


def load_init_weights(model, config):
    """Brings the encoder's weights of the run that `--init` names into a new model."""
    pretrained, *_ = masked_lm_runs.load_pretrained(config.init, "--init", config.precision)
    load_pretrained_weights(model, pretrained)


def load_pretrained_weights(model, pretrained):
    """Brings every weight that two models have by the same layer's name from `pretrained` into `model`."""
    known = {layer.name: layer for layer in pretrained.layers}
    for layer in model.layers:
        if layer.weights and layer.name in known and layer.name != "logits":
            layer.set_weights(known[layer.name].get_weights())


def load_text_classifier(path):
    """Returns the model of a run of finetune_text, its `Vocabulary`, its config and the classes' names.

    The weights are those of the newest checkpoint, or of the best epoch where early stopping kept one; it computes in
    float32 whatever it was trained in.
    """
    model, vocabulary, config, classes, _ = _load(path)
    return model, vocabulary, config, classes


def make_export(run, kind=None):
    """Returns the `Export` of a `Run` of finetune_text and its `Weights`, of a kind as for `find_weights`."""
    model, vocabulary, config, classes, weights = _load(run.path, kind)
    length = config.sequence_length or config.model.max_sequence_length
    return make_text_classifier_export(model, vocabulary, length, classes, examples.load_texts(run)), weights


def _load(path, kind=None):
    run = Run(path)
    if run.metadata().get("app") != "finetune_text":
        raise UserError(f"--run {path} holds no run of finetune_text.")
    config = from_dict(TextClassifierConfig, run.read_config())
    vocabulary, classes = masked_lm_runs.load_vocabulary(run), run.metadata().get("data", {}).get("classes")
    weights = find_weights(run, kind)
    if not weights:
        raise UserError(f"--run {path} has no checkpoint yet.")
    keras.config.set_dtype_policy("float32")
    model = make_text_classifier(config.model, len(vocabulary), len(classes))
    weights.load(model)
    return model, vocabulary, config, tuple(classes), weights


def make_text_classifier(config, vocabulary_size, classes):
    """Returns the model of a `BERTConfig` that maps tokens to the logits of classes."""
    return bert.make_text_classifier(config, bert.make_encoder(config, vocabulary_size), classes)
