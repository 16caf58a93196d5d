"""The classifier's step where every word is an example."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from exported_models import BERT

from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.models.bert import make_tagger
from karpa_tf.training.optimizers import ParameterGroup, make_optimizer_groups
from karpa_tf.training.trainers.classifier import Classifier

TAGS = 5
CONFIG = dataclasses.replace(BERT, dropout=0.0)


def make_trainer(parts=1, **options):
    """Returns a compiled trainer, always with the same weights."""
    model = make_tagger(CONFIG, 40, TAGS)
    rng = np.random.default_rng(0)
    model.set_weights([0.5 * rng.normal(size=weight.shape) for weight in model.weights])
    trainer = Classifier(model, **options)
    sgd = OptimizerConfig(optimizer="sgd", momentum=0.0)
    trainer.compile(make_optimizer_groups(sgd, 0.1, [ParameterGroup(model.trainable_variables)], 9, 9), None, parts)
    return trainer


def make_batches(batch_size=8):
    """Returns two batches of texts with different numbers of words, some of them without any."""
    rng = np.random.default_rng(1)
    counts = np.arange(2 * batch_size) % 5
    ids = rng.integers(5, 40, (2 * batch_size, 9)).astype(np.int32)
    mask = np.arange(9) < counts[:, None] + 2
    inputs = {"token_ids": np.where(mask, ids, 0), "padding_mask": mask}
    inputs["word_positions"] = np.tile(np.arange(1, 5, dtype=np.int32), (2 * batch_size, 1))
    targets = np.eye(TAGS, dtype=np.float32)[rng.integers(0, TAGS, (2 * batch_size, 4))]
    weights = (np.arange(4) < counts[:, None]).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((inputs, targets, weights)).batch(batch_size)


def fit(trainer, data):
    return trainer.fit(data, epochs=2, verbose=0, shuffle=False).history


SLOW = pytest.mark.slow
OPTIONS = [
    {"parts": 2, "class_weights": [0.2, 1, 1, 2, 3], "words": 1.7},
    pytest.param({}, marks=SLOW),
    pytest.param({"label_smoothing": 0.1}, marks=SLOW),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_two_replicas_train_as_one_does(two_replicas, options):
    """The replicas have different numbers of words."""
    alone = make_trainer(**options)
    history = fit(alone, make_batches())
    with two_replicas.scope():
        shared = make_trainer(**options)
    shared_history = fit(shared, make_batches())
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(shared_history[name], history[name], atol=1e-5)
    for one, two in zip(alone.network.weights, shared.network.weights, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5, err_msg=one.path)
    start = make_trainer().network.get_weights()
    assert max(np.abs(a - b).max() for a, b in zip(start, alone.network.get_weights(), strict=True)) > 1e-2


def test_loss_and_accuracy_are_means_over_words():
    trainer = make_trainer()
    inputs, targets, weights = next(make_batches().unbatch().batch(16).as_numpy_iterator())
    log_p = tf.nn.log_softmax(trainer.network(inputs)).numpy()
    figures = trainer.evaluate(make_batches(), verbose=0, return_dict=True)
    assert figures["loss"] == pytest.approx(-(log_p * targets).sum(-1)[weights > 0].mean(), rel=1e-5)
    is_right = log_p.argmax(-1) == targets.argmax(-1)
    assert figures["accuracy"] == pytest.approx(is_right[weights > 0].mean())


def test_a_word_has_the_same_weight_in_batches_of_short_and_of_long_texts():
    batch, trainer = make_batches().take(1), make_trainer(words=2.5)
    inputs, targets, weights = next(iter(batch))
    model = make_trainer().network
    with tf.GradientTape() as tape:
        losses = -tf.reduce_sum(tf.nn.log_softmax(model(inputs)) * targets, axis=-1)
        loss = tf.reduce_sum(losses * weights) / (len(weights) * 2.5)
    trainer.fit(batch, verbose=0, shuffle=False)
    for gradient, before, after in zip(
        tape.gradient(loss, model.trainable_variables),
        model.trainable_variables,
        trainer.network.trainable_variables,
        strict=True,
    ):
        np.testing.assert_allclose(after, before - 0.1 * tf.convert_to_tensor(gradient), atol=1e-6)


def test_what_is_no_word_changes_nothing():
    one, two = make_trainer(), make_trainer()
    changed = make_batches().map(
        lambda inputs, targets, weights: (
            inputs,
            tf.where(weights[..., None] > 0, targets, targets[..., ::-1]),
            weights,
        )
    )
    assert fit(one, make_batches()) == fit(two, changed)


def test_a_batch_without_words_leaves_the_weights_as_they_are():
    trainer = make_trainer()
    before = trainer.network.get_weights()
    fit(trainer, make_batches().map(lambda inputs, targets, weights: (inputs, targets, 0 * weights)))
    for ours, theirs in zip(trainer.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
