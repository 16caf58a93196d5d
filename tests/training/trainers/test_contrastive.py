"""The contrastive step, against its formula in NumPy and over two replicas."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from exported_models import BERT

from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.models.bert import make_embedder
from karpa_tf.training.optimizers import ParameterGroup, make_optimizer_groups
from karpa_tf.training.trainers.contrastive import Contrastive

CONFIG = dataclasses.replace(BERT, dropout=0.0)
TEMPERATURE = 0.3


def make_trainer():
    """Returns a compiled trainer, always with the same weights."""
    model = make_embedder(CONFIG, 40, window_length=8)
    rng = np.random.default_rng(0)
    model.set_weights([0.5 * rng.normal(size=weight.shape) for weight in model.weights])
    trainer = Contrastive(model, TEMPERATURE)
    sgd = OptimizerConfig(optimizer="sgd", momentum=0.0)
    trainer.compile(make_optimizer_groups(sgd, 0.1, [ParameterGroup(model.trainable_variables)], 9, 9))
    return trainer


@pytest.fixture(scope="module")
def trainer():
    """A trainer whose weights no test changes."""
    return make_trainer()


def make_batch(count=8, groups=None):
    """Returns inputs of texts and of as many others, and their groups; without `groups` all texts are different."""
    rng, inputs = np.random.default_rng(1), {}
    for prefix, length in (("", 9), ("pair_", 12)):
        mask = np.arange(length) < rng.integers(2, length + 1, count)[:, None]
        inputs[f"{prefix}token_ids"] = np.where(mask, rng.integers(5, 40, (count, length)), 0).astype(np.int32)
        inputs[f"{prefix}padding_mask"] = mask
    groups = np.stack([np.arange(count)] * 2, axis=1) if groups is None else groups
    return inputs, np.asarray(groups, np.int32)


def compute(trainer, inputs, is_left_out):
    """Returns the losses and the logits of a batch, by the formula."""
    first, second = (
        trainer.network({name: inputs[prefix + name] for name in ("token_ids", "padding_mask")}).numpy()
        for prefix in ("", "pair_")
    )
    logits = np.where(is_left_out, -np.inf, first.astype(np.float64) @ second.T / TEMPERATURE)
    return np.log(np.exp(logits).sum(1)) - np.diag(logits), logits


def evaluate(trainer, *batch):
    data = tf.data.Dataset.from_tensors(batch)
    return trainer.evaluate(data, verbose=0, return_dict=True)


def test_loss_and_accuracy_are_those_of_the_softmax_over_the_batch(trainer):
    inputs, groups = make_batch()
    losses, logits = compute(trainer, inputs, np.zeros((8, 8), bool))
    figures = evaluate(trainer, inputs, groups, np.ones(8, np.float32))
    assert figures["loss"] == pytest.approx(losses.mean(), rel=1e-5) and losses.std() > 0.1
    assert figures["accuracy"] == pytest.approx((logits.argmax(1) == np.arange(8)).mean())


def test_what_belongs_to_an_equal_text_is_no_wrong_answer(trainer):
    groups = np.stack([[0, 1, 2, 0, 4, 5, 6, 7], [0, 1, 2, 3, 4, 1, 6, 7]], axis=1)
    inputs, groups = make_batch(groups=groups)
    left_out = np.zeros((8, 8), bool)
    for one, other in ((0, 3), (1, 5)):  # equal texts, and equal second texts
        left_out[one, other] = left_out[other, one] = True
    losses, _ = compute(trainer, inputs, left_out)
    figures = evaluate(trainer, inputs, groups, np.ones(8, np.float32))
    assert figures["loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_rows_that_pad_a_batch_change_nothing(trainer):
    inputs, groups = make_batch()
    part = {name: value[:5] for name, value in inputs.items()}
    padded = {name: np.concatenate([value[:5], value[:1].repeat(3, 0)]) for name, value in inputs.items()}
    marked = np.concatenate([groups[:5], np.full((3, 2), -1, np.int32)])
    expected = evaluate(trainer, part, groups[:5], np.ones(5, np.float32))
    assert evaluate(trainer, padded, marked, (np.arange(8) < 5).astype(np.float32)) == pytest.approx(expected, rel=1e-5)


def test_two_replicas_train_as_one_does(two_replicas):
    """Texts are contrasted with those of the other replica too, and gradients reach both sides."""
    groups = np.stack([[0, 1, 2, 3, 4, 5, 1, 7], [0, 1, 2, 3, 4, 5, 6, 0]], axis=1)
    data = tf.data.Dataset.from_tensor_slices(make_batch(groups=groups)).batch(8)
    alone = make_trainer()
    start = [weight.numpy() for weight in alone.network.weights]
    history = alone.fit(data, epochs=2, verbose=0, shuffle=False).history
    with two_replicas.scope():
        shared = make_trainer()
    shared_history = shared.fit(data, epochs=2, verbose=0, shuffle=False).history
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(shared_history[name], history[name], atol=1e-5)
    for one, two in zip(alone.network.weights, shared.network.weights, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5, err_msg=one.path)
    assert max(np.abs(a - b).max() for a, b in zip(start, alone.network.weights, strict=True)) > 1e-2
