import math

import keras
import numpy as np
import pytest

from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.transfer import TransferConfig
from karpa_tf.errors import UserError
from karpa_tf.training import optimizers

STEPS, PER_EPOCH, PEAK = 100, 10, 0.5


def rates(first_step=0, **config):
    schedule = optimizers.make_schedule(OptimizerConfig(**config), PEAK, STEPS, PER_EPOCH, first_step)
    return [float(schedule(step)) for step in range(STEPS - first_step)]


def test_a_constant_learning_rate_does_not_change():
    np.testing.assert_allclose(rates(schedule="constant"), PEAK, rtol=1e-6)


def test_warmup_is_linear_from_its_start_fraction_to_the_peak():
    found = rates(schedule="constant", warmup_epochs=2.0, start_fraction=0.2)
    expected = [PEAK * (0.2 + 0.8 * (t + 1) / 20) if t < 20 else PEAK for t in range(STEPS)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[19] == pytest.approx(PEAK)


def test_warmup_can_be_a_fraction_of_the_run():
    by_epochs, by_share = rates(schedule="cosine", warmup_epochs=2.0), rates(schedule="cosine", warmup_fraction=0.2)
    np.testing.assert_allclose(by_share, by_epochs)
    with pytest.raises(UserError, match="exclude each other"):
        OptimizerConfig(warmup_fraction=0.1, warmup_epochs=1.0)


def test_the_step_schedule_drops_after_its_epochs():
    found = rates(schedule="step", step_epochs=(3.0, 6.0), step_factor=0.1, warmup_epochs=1.0)
    for t in range(10, STEPS):
        falls = (t >= 30) + (t >= 60)
        assert found[t] == pytest.approx(PEAK * 0.1**falls), t


def test_the_cosine_decays_from_the_end_of_warmup_to_its_end_fraction():
    found = rates(schedule="cosine", warmup_epochs=2.0, end_fraction=0.1)
    for t in range(20, STEPS):
        expected = PEAK * (0.1 + 0.9 * (1 + math.cos(math.pi * (t - 20) / 80)) / 2)
        assert found[t] == pytest.approx(expected, rel=1e-5)


def test_one_cycle_is_piecewise_linear():
    found = rates(schedule="one_cycle", warmup_epochs=2.3, start_fraction=0.2, end_fraction=0.07)
    for t in range(STEPS):
        up, down = 0.2 + 0.8 * (t + 1) / 23, 1 - 0.93 * (t - 23) / 77
        assert found[t] == pytest.approx(PEAK * (up if t < 23 else down), rel=1e-5)


def test_weights_that_are_unfrozen_later_have_the_learning_rate_of_the_others():
    config = {"schedule": "cosine", "warmup_epochs": 1.0}
    np.testing.assert_allclose(rates(first_step=30, **config), rates(**config)[30:], rtol=1e-6)


def test_a_schedule_can_be_serialized():
    schedule = optimizers.make_schedule(OptimizerConfig(schedule="cosine", warmup_epochs=1.0), PEAK, STEPS, PER_EPOCH)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert [float(again(t)) for t in (0, 5, 50)] == [float(schedule(t)) for t in (0, 5, 50)]


def network():
    layers = keras.layers
    ids = keras.Input((4,), dtype="int32")
    x = layers.Reshape((4, 4, 2))(layers.Embedding(5, 8, name="embedding")(ids))
    x = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(x))
    x = layers.Dense(6, name="hidden")(layers.Flatten()(x))
    return keras.Model(ids, layers.Dense(2, name="logits")(layers.LayerNormalization()(x)))


def groups_of(**config):
    variables = network().trainable_variables
    groups = optimizers.make_optimizer_groups(
        OptimizerConfig(**config), PEAK, [optimizers.ParameterGroup(variables)], STEPS, PER_EPOCH
    )
    names = [[variable.path for variable in group.variables] for group in groups]
    assert sorted(name for some in names for name in some) == sorted(
        variable.path for variable in variables
    )  # each in one group
    return groups, names


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_kernels_have_weight_decay_but_biases_norms_and_embeddings_do_not(name):
    (decay, no_decay), (decay_names, no_decay_names) = groups_of(optimizer=name, weight_decay=0.1)
    assert decay.optimizer.weight_decay == 0.1 and no_decay.optimizer.weight_decay is None
    assert all(name.endswith("kernel") for name in decay_names) and len(decay_names) == 3
    assert not any(name.endswith("kernel") for name in no_decay_names) and len(no_decay_names) == 8


def test_decay_is_decoupled_and_scaled_by_the_learning_rate():
    (decay, _), _ = groups_of(optimizer="adamw", weight_decay=0.1)
    before = [variable.numpy() for variable in decay.variables]
    decay.optimizer.apply([np.zeros(v.shape, np.float32) for v in decay.variables], decay.variables)
    for variable, value in zip(decay.variables, before, strict=True):
        np.testing.assert_allclose(variable, value * (1 - PEAK * 0.1), rtol=1e-6)


def test_sgd_has_nesterov_momentum():
    variable = keras.Variable([1.0])
    (group,) = optimizers.make_optimizer_groups(
        OptimizerConfig(optimizer="sgd", momentum=0.9), 0.1, [optimizers.ParameterGroup([variable])], STEPS, PER_EPOCH
    )
    velocity, expected = 0.0, 1.0
    for gradient in (1.0, -0.5, 2.0):
        group.optimizer.apply([keras.ops.convert_to_tensor([gradient])], [variable])
        velocity = 0.9 * velocity - 0.1 * gradient
        expected += 0.9 * velocity - 0.1 * gradient  # Sutskever et al. 2013, as Keras writes it
    np.testing.assert_allclose(variable, [expected], rtol=1e-6)


def test_muon_updates_convolutions_and_hidden_matrices_and_adam_the_rest():
    (muon, adam), (matrices, others) = groups_of(optimizer="muon", adam_learning_rate=0.01)
    assert isinstance(muon.optimizer, optimizers.Muon) and isinstance(adam.optimizer, keras.optimizers.Adam)
    assert len(matrices) == 2 and "conv2d" in matrices[0] and "hidden" in matrices[1]
    assert any("logits/kernel" in name for name in others) and any("embedding" in name for name in others)
    assert float(adam.optimizer.learning_rate) == pytest.approx(0.01)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (3, 3, 2, 7)])
def test_orthogonalization_keeps_singular_vectors_and_moves_values_near_one(shape):
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = np.array(optimizers.orthogonalize(kernel, 8)).reshape(-1, shape[-1])
    left, _, right = np.linalg.svd(kernel.reshape(-1, shape[-1]), full_matrices=False)
    values = left.T @ found @ right.T
    assert np.abs(values - np.diag(np.diag(values))).max() < 1e-4
    assert np.diag(values).min() > 0.6 and np.diag(values).max() < 1.25


def test_a_muon_step_rescales_the_kernel_and_subtracts_orthogonalized_momentum():
    rng = np.random.default_rng(0)
    variable = keras.Variable(rng.normal(size=(3, 3, 2, 4)).astype(np.float32))
    optimizer = optimizers.Muon(0.1, momentum=0.6)
    optimizer.build([variable])
    momentum, expected = 0.0, variable.numpy()
    for _ in range(3):
        gradient = rng.normal(size=variable.shape).astype(np.float32)
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        momentum = 0.6 * momentum + gradient
        direction = np.array(optimizers.orthogonalize((gradient + 0.6 * momentum).astype(np.float32), 3))
        expected = expected * 2 / np.linalg.norm(expected) - 0.1 * direction
        np.testing.assert_allclose(variable, expected, atol=1e-5)


def parts_of(**config):
    depths = [[f"head {i}" for i in range(2)], ["top"], ["upper"], ["lower"], ["bottom"]]
    return optimizers.make_parameter_groups(depths, TransferConfig(init="x", **config), PER_EPOCH)


def test_by_default_all_weights_are_one_parameter_group():
    (part,) = parts_of()
    assert part.variables == ["head 0", "head 1", "top", "upper", "lower", "bottom"]


def test_frozen_features_are_in_no_parameter_group():
    (part,) = parts_of(freeze="features")
    assert part.variables == ["head 0", "head 1"]


def test_lower_layers_have_lower_learning_rates():
    assert [part.learning_rate_factor for part in parts_of(layer_decay=0.5)] == [1, 0.5, 0.25, 0.125, 0.0625]


def test_frozen_layers_are_unfrozen_from_the_top_down():
    parts = parts_of(freeze="features", unfreeze_every=2)
    assert [part.first_step for part in parts] == [0, 20, 40, 60, 80]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"schedule": "step"}, "--schedule step and --step-epochs go together"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "adam has no --weight-decay"),
        ({"optimizer": "muon", "weight_decay": 0.1}, "muon has no --weight-decay"),
        ({"gradient_accumulation_steps": 0}, "--gradient-accumulation-steps must be at least 1"),
        ({"ema": 1.0}, "--ema must be at least 0 and below 1"),
        ({"global_clipnorm": 0.0}, "--global-clipnorm must be above 0"),
        ({"weight_decay": float("nan")}, "--weight-decay must be at least 0"),
    ],
)
def test_a_config_refuses_invalid_values(config, says):
    with pytest.raises(UserError, match=says):
        OptimizerConfig(**config)
