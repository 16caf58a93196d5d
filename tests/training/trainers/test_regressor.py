"""The step of a model that predicts numbers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from exported_models import BERT

from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.models.bert import make_text_regressor
from karpa_tf.training.optimizers import ParameterGroup, make_optimizer_groups
from karpa_tf.training.trainers.regressor import Regressor

MEAN, STDDEV = 10.0, 4.0


def make_trainer(parts=1):
    """Returns a compiled trainer, always with the same weights."""
    model = make_text_regressor(dataclasses.replace(BERT, dropout=0.0), 40, MEAN, STDDEV)
    rng = np.random.default_rng(0)
    model.set_weights([0.3 * rng.normal(size=weight.shape) for weight in model.weights])
    trainer = Regressor(model, STDDEV)
    sgd = OptimizerConfig(optimizer="sgd", momentum=0.0)
    trainer.compile(make_optimizer_groups(sgd, 0.01, [ParameterGroup(model.trainable_variables)], 9, 9), None, parts)
    return trainer


def make_batches(weights=()):
    rng = np.random.default_rng(1)
    inputs = {"token_ids": rng.integers(5, 40, (16, 6)).astype(np.int32), "padding_mask": np.ones((16, 6), bool)}
    targets = (MEAN + STDDEV * rng.normal(size=(16, 1))).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((inputs, targets, *weights)).batch(8)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_two_replicas_train_as_one_does(two_replicas, parts):
    alone = make_trainer(parts)
    history = alone.fit(make_batches(), epochs=2, verbose=0, shuffle=False).history
    with two_replicas.scope():
        shared = make_trainer(parts)
    shared_history = shared.fit(make_batches(), epochs=2, verbose=0, shuffle=False).history
    assert history.keys() == {"loss", "mean_absolute_error"}
    for name, values in history.items():
        np.testing.assert_allclose(shared_history[name], values, atol=1e-5)
    for one, two in zip(alone.network.weights, shared.network.weights, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5, err_msg=one.path)
    assert history["loss"][1] < history["loss"][0]


def test_loss_and_error_are_those_of_the_examples_that_count():
    trainer, weights = make_trainer(), np.array([1, 0] * 8, np.float32)
    inputs, targets, _ = next(make_batches([weights]).unbatch().batch(16).as_numpy_iterator())
    errors = (trainer.network(inputs).numpy() - targets)[weights > 0, 0]
    assert trainer.evaluate(make_batches([weights]), verbose=0, return_dict=True) == pytest.approx(
        {"loss": np.mean((errors / STDDEV) ** 2), "mean_absolute_error": np.abs(errors).mean()}, rel=1e-5
    )
