"""The step of a masked language model: its loss, its gradients on one replica and two, and what it reports."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_masked_lm import CONFIG, VOCABULARY_SIZE, fit, make_batches, make_trainer

from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.models.bert import (
    extract_encoder,
    extract_masked_lm,
    make_encoder,
    make_masked_lm,
    make_pretraining,
    make_text_classifier,
)
from karpa_tf.training.optimizers import ParameterGroup, make_optimizer_groups
from karpa_tf.training.trainers.masked_lm import MaskedLM, Pretraining
from karpa_tf.training.trainers.updates import select_inputs
from karpa_tf.training.weights import copy_weights

KINDS = pytest.mark.parametrize(("kind", "make"), [(MaskedLM, make_masked_lm), (Pretraining, make_pretraining)])


def assert_same_weights(trainer, other, tolerance=1e-6):
    for ours, theirs in zip(trainer.network.weights, other.network.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance, err_msg=ours.path)


def by_hand(trainer, data):
    """The figures that one batch should report, from the model's outputs by NumPy."""
    outputs = trainer.network(select_inputs(trainer.network, data))
    logits = np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs, np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    ids, weights = data["mask_ids"].numpy(), data["mask_weights"].numpy()
    losses = -np.take_along_axis(logs, ids[..., None], -1)[..., 0]
    found = {"loss": (losses * weights).sum() / weights.sum()}
    found["accuracy"] = ((logits.argmax(-1) == ids) * weights).sum() / weights.sum()
    if isinstance(outputs, dict):
        chance = 1 / (1 + np.exp(-np.asarray(outputs["is_next"], np.float64)))
        truth = data["is_next"].numpy()
        found["next_loss"] = -np.log(np.where(truth == 1, chance, 1 - chance)).mean()
        found["next_accuracy"] = ((chance > 0.5) == (truth == 1)).mean()
    return found


@KINDS
def test_metrics_are_means_over_the_masked_tokens(kind, make):
    trainer = make_trainer(kind, make)
    (batch,) = make_batches(1)
    assert trainer.evaluate(make_batches(1), verbose=0, return_dict=True) == pytest.approx(
        by_hand(trainer, batch), rel=1e-5
    )


@KINDS
def test_two_replicas_take_the_same_steps_as_one(kind, make, two_replicas):
    alone = make_trainer(kind, make)
    history = fit(alone)
    with two_replicas.scope():
        shared = make_trainer(kind, make)
    shared_history = fit(shared)
    assert_same_weights(alone, shared)
    for name, values in history.items():
        np.testing.assert_allclose(values, shared_history[name], atol=1e-6, err_msg=name)
    found = [trainer.evaluate(make_batches(), verbose=0, return_dict=True) for trainer in (alone, shared)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


@KINDS
@pytest.mark.slow
def test_gradient_accumulation_does_not_change_the_step_with_or_without_clipping(kind, make):
    for global_clipnorm in (None, 0.05):
        whole, parts = (
            make_trainer(kind, make, global_clipnorm=global_clipnorm, gradient_accumulation_steps=n) for n in (1, 4)
        )
        assert fit(whole)["loss"] == pytest.approx(fit(parts)["loss"], abs=1e-5)
        assert_same_weights(whole, parts)


def test_clipping_is_the_same_on_two_replicas(two_replicas):
    alone = make_trainer(MaskedLM, make_masked_lm, global_clipnorm=0.05)
    fit(alone)
    with two_replicas.scope():
        shared = make_trainer(MaskedLM, make_masked_lm, global_clipnorm=0.05)
    fit(shared)
    assert_same_weights(alone, shared)
    free = make_trainer(MaskedLM, make_masked_lm)
    fit(free)
    assert np.abs(free.network.weights[0] - alone.network.weights[0]).max() > 1e-3


def test_the_gradient_is_that_of_the_mean_over_masked_tokens():
    trainer = make_trainer(MaskedLM, make_masked_lm, learning_rate=1.0)
    (batch,) = make_batches(1)
    variable = trainer.network.get_layer("logits").bias
    before = variable.numpy()
    logits = trainer.network(select_inputs(trainer.network, batch))
    chances = tf.nn.softmax(logits).numpy() - np.eye(VOCABULARY_SIZE)[batch["mask_ids"].numpy()]
    weights = batch["mask_weights"].numpy()
    expected = (chances * weights[..., None]).sum((0, 1)) / weights.sum()
    trainer.fit(make_batches(1), verbose=0, shuffle=False)
    np.testing.assert_allclose(before - variable.numpy(), expected, atol=1e-6)


def test_a_batch_without_masked_tokens_changes_nothing_and_is_finite():
    trainer = make_trainer(MaskedLM, make_masked_lm)
    before = [weight.numpy() for weight in trainer.network.weights]
    data = make_batches(1).map(lambda batch: batch | {"mask_weights": tf.zeros_like(batch["mask_weights"])})
    assert fit(trainer, data)["loss"] == [0.0, 0.0]
    for weight, value in zip(trainer.network.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_as_float32_does(policy):
    losses = []
    for name in ("float32", policy):
        keras.config.set_dtype_policy(name)
        keras.utils.set_random_seed(0)
        model = make_pretraining(CONFIG, make_encoder(CONFIG, VOCABULARY_SIZE))
        trainer = Pretraining(model, ema=0.5)
        groups = make_optimizer_groups(
            OptimizerConfig(optimizer="adamw"),
            0.01,
            [ParameterGroup(model.trainable_variables)],
            10,
            3,
            policy == "mixed_float16",
        )
        trainer.compile(groups, 1.0)
        data = make_batches(1).repeat(20)
        losses.append(trainer.fit(data, epochs=1, verbose=0, shuffle=False, steps_per_epoch=20).history["loss"][0])
        assert model.output_shape and all(weight.dtype == "float32" for weight in model.weights)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_the_moving_average_is_evaluated_and_lags_behind():
    trainer = make_trainer(MaskedLM, make_masked_lm, ema=0.9)
    start = trainer.network.weights[0].numpy()
    trainer.fit(make_batches(1), verbose=0, shuffle=False)
    moved = trainer.network.weights[0].numpy()
    decay = 2 / 11  # (1 + t) / (10 + t) after the first update
    np.testing.assert_allclose(trainer.exported.weights[0], decay * start + (1 - decay) * moved, atol=1e-6)


def test_extracted_models_share_weights_and_outputs():
    model = make_pretraining(CONFIG, make_encoder(CONFIG, VOCABULARY_SIZE))
    (batch,) = make_batches(1)
    outputs = model(select_inputs(model, batch))
    masked_lm, encoder = extract_masked_lm(model), extract_encoder(model)
    np.testing.assert_array_equal(masked_lm(select_inputs(masked_lm, batch)), outputs["logits"])
    assert {tensor.name for tensor in encoder.inputs} == {"token_ids", "padding_mask", "segment_ids"}
    assert encoder(select_inputs(encoder, batch)).shape == (8, 12, 8)


def test_entries_that_a_model_does_not_take_are_ignored():
    model = make_masked_lm(CONFIG, make_encoder(CONFIG, VOCABULARY_SIZE))
    (batch,) = make_batches(1)
    names = {"token_ids", "padding_mask", "segment_ids", "mask_positions"}
    assert select_inputs(model, batch).keys() == names
    assert select_inputs(model, batch["token_ids"]) is batch["token_ids"]


@pytest.mark.parametrize("make", [make_masked_lm, make_pretraining])
def test_fine_tuning_starts_from_all_weights_of_the_pretrained_encoder(make):
    pretrained = make(CONFIG, make_encoder(CONFIG, VOCABULARY_SIZE))
    model = make_text_classifier(CONFIG, VOCABULARY_SIZE, 3)
    copy_weights(model, pretrained, excluded=("logits",))
    known = {weight.path: weight.numpy() for weight in extract_encoder(pretrained).weights}
    taken = {weight.path: weight.numpy() for weight in extract_encoder(model).weights}
    assert known.keys() == taken.keys() and len(known) > 10
    for path, value in known.items():
        np.testing.assert_array_equal(taken[path], value, err_msg=path)
