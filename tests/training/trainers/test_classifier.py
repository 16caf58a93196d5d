"""The classifier's step: gradients, replicas, parts, averages, counts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_classifier import STEPS_PER_EPOCH, assert_same_weights, fit, get_weights, make_image_set, make_trainer

from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.run import RunConfig
from karpa_tf.configs.transfer import TransferConfig
from karpa_tf.data.images.batches import make_evaluation_batches, make_labeled_batches
from karpa_tf.training import checkpoints
from karpa_tf.training import run as runs
from karpa_tf.training.callbacks.unfreeze import Unfreeze


def assert_moved(trainer, start, by=1e-3):
    for now, before in zip(get_weights(trainer), get_weights(start), strict=True):
        assert np.abs(now - before).max() > by


VARIANTS = {
    "plain": {},
    "clipped": {"optimization": OptimizerConfig(optimizer="sgd", global_clipnorm=0.5)},
    "in two parts": {"optimization": OptimizerConfig(optimizer="sgd", gradient_accumulation_steps=2)},
    "decayed": {"optimization": OptimizerConfig(optimizer="sgd", weight_decay=0.1)},
    "class weights": {"class_weights": [0.5, 1.0, 3.0]},
    "smoothed": {"label_smoothing": 0.2},
    "averaged": {"optimization": OptimizerConfig(optimizer="sgd", ema=0.9)},
    "muon": {"optimization": OptimizerConfig(optimizer="muon", momentum=0.6)},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_replicas_train_as_one_does(images, two_replicas, variant):
    alone = make_trainer(**VARIANTS[variant])
    history_alone = fit(alone, images)
    with two_replicas.scope():
        shared = make_trainer(**VARIANTS[variant])
    history_shared = fit(shared, images)
    assert history_alone.keys() == history_shared.keys() == {"loss", "accuracy"}
    for name, values in history_alone.items():
        np.testing.assert_allclose(history_shared[name], values, rtol=0, atol=1e-6)
    # Muon divides by norms of small gradients, which multiplies rounding.
    assert_same_weights(alone, shared, atol=1e-5 if variant == "muon" else 1e-6)
    for one, two in zip(alone.exported.weights, shared.exported.weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-5 if variant == "muon" else 1e-6)
    assert_moved(alone, make_trainer(**VARIANTS[variant]))


def test_a_keras_optimizer_is_one_group_of_all_weights(images):
    grouped, plain = make_trainer(), make_trainer()
    plain.compile(keras.optimizers.SGD(0.1, momentum=0.5, nesterov=True))
    assert fit(grouped, images) == fit(plain, images)
    assert_same_weights(grouped, plain, atol=0)
    keras.config.set_dtype_policy("mixed_float16")
    scaled = make_trainer()
    scaled.compile(keras.optimizers.SGD(0.1))
    assert isinstance(scaled.groups[0].optimizer, keras.optimizers.LossScaleOptimizer)


def test_a_step_equals_that_of_keras_own_trainer(images):
    trainer = make_trainer()
    other = make_trainer().network
    data = make_image_set(images[:8])
    inputs, targets = next(make_labeled_batches(data, 8, seed=1).as_numpy_iterator())
    other.compile(
        keras.optimizers.SGD(0.1, momentum=0.5, nesterov=True), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    expected = [other.train_on_batch(inputs, targets) for _ in range(3)]
    history = fit(trainer, images[:8], epochs=3)
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    for one, two in zip(trainer.network.weights, other.weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_gradient_accumulation_does_not_change_the_step(images):
    whole, parts = (
        make_trainer(),
        make_trainer(OptimizerConfig(optimizer="sgd", momentum=0.5, gradient_accumulation_steps=4)),
    )
    histories = [fit(trainer, images) for trainer in (whole, parts)]
    np.testing.assert_allclose(*[history["loss"] for history in histories], rtol=1e-5)
    assert_same_weights(whole, parts)


def test_long_gradients_are_clipped_to_the_norm_and_short_ones_are_not(images):
    plain = OptimizerConfig(optimizer="sgd", momentum=0.0)
    start = make_trainer(plain)
    lengths = []
    for norm in (None, 0.01, 1e6):
        trainer = make_trainer(OptimizerConfig(optimizer="sgd", momentum=0.0, global_clipnorm=norm))
        fit(trainer, images[:8], epochs=1)
        moved = [a - b for a, b in zip(get_weights(trainer), get_weights(start), strict=True)]
        lengths.append(np.sqrt(sum((move**2).sum() for move in moved)))
    assert lengths[0] == pytest.approx(lengths[2], rel=1e-5) and lengths[0] > 0.005
    assert lengths[1] == pytest.approx(0.1 * 0.01, rel=1e-3)  # learning rate times norm


def test_class_weights_are_factors_of_the_loss(images):
    weights = [0.5, 1.0, 3.0]
    trainer = make_trainer(class_weights=weights, learning_rate=1e-9)
    data = make_image_set(images[:8])
    history = fit(trainer, images[:8], epochs=1)
    logits = trainer.network(data.images.astype(np.float32) / 127.5 - 1).numpy()
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(8), data.labels]
    np.testing.assert_allclose(history["loss"][0], np.mean(np.array(weights)[data.labels] * losses), rtol=1e-5)


def test_label_smoothing_follows_its_formula(images):
    trainer = make_trainer(label_smoothing=0.3, learning_rate=1e-9)
    history = fit(trainer, images[:8], epochs=1)
    data = make_image_set(images[:8])
    log_p = tf.nn.log_softmax(trainer.network(data.images.astype(np.float32) / 127.5 - 1)).numpy()
    targets = 0.7 * np.eye(3)[data.labels] + 0.1
    np.testing.assert_allclose(history["loss"][0], -(targets * log_p).sum(1).mean(), rtol=1e-5)


def test_the_exported_model_is_the_moving_average(images):
    trainer = make_trainer(OptimizerConfig(optimizer="sgd", ema=0.5))
    average = [weight.numpy() for weight in trainer.network.weights]
    for step in range(4):
        fit(trainer, images[8 * step : 8 * step + 8], epochs=1)
        decay = min(0.5, (2 + step) / (11 + step))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, get_weights(trainer), strict=True)]
    for weight, expected in zip(trainer.exported.weights, average, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-6)


@pytest.mark.parametrize("count", [3, 8, 16, 29, 30, 33])
@pytest.mark.parametrize("replicas", [1, 2])
def test_evaluation_counts_every_image_exactly_once(images, two_replicas, count, replicas):
    scope = two_replicas.scope() if replicas == 2 else tf.name_scope("one")
    with scope:
        trainer = make_trainer(seed=5)
    data = make_image_set(images[:count])
    found = trainer.evaluate(make_evaluation_batches(data, 8), verbose=0, return_dict=True)
    logits = trainer.network(data.images.astype(np.float32) / 127.5 - 1).numpy().astype(float)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(count), data.labels]
    assert found["accuracy"] == pytest.approx(np.mean(logits.argmax(1) == data.labels), abs=1e-6)
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_every_optimizer_counts_every_step(images, name):
    trainer = make_trainer(OptimizerConfig(optimizer=name), learning_rate=1e-3)
    fit(trainer, images, epochs=3, validation_data=make_evaluation_batches(make_image_set(images[:5]), 8))
    assert {int(group.optimizer.iterations) for group in trainer.groups} == {15}


def test_batch_statistics_are_averaged_over_replicas(images, two_replicas):
    with two_replicas.scope():
        trainer = make_trainer(network=CNNConfig(filters=(4,), dense_units=(), batch_norm=True))
    fit(trainer, images, epochs=1)
    for weight in trainer.network.weights:
        first, *others = two_replicas.experimental_local_results(weight.value)
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_more_than_ten_classes_report_top_5_accuracy(images):
    history = fit(make_trainer(classes=12), images, epochs=1)
    assert history.keys() == {"loss", "accuracy", "top_5_accuracy"}
    assert history["accuracy"][0] <= history["top_5_accuracy"][0] <= 1


WITH_NORM = CNNConfig(filters=(4, 4, 4, 4), dense_units=(), batch_norm=True)


def test_frozen_features_and_their_statistics_do_not_change_and_the_head_is_trained(images):
    frozen = TransferConfig(init="x", freeze="features")
    trainer, start = (make_trainer(network=WITH_NORM, transfer=frozen) for _ in range(2))
    fit(trainer, images)
    for layer, before in zip(trainer.network.layers, start.network.layers, strict=True):
        for now, then in zip(layer.get_weights(), before.get_weights(), strict=True):
            assert np.array_equal(now, then) == (layer.name != "logits"), layer.name


def test_layers_are_unfrozen_from_the_top_down(images):
    thawing = TransferConfig(init="x", freeze="features", unfreeze_every=1)
    trainer, start = (make_trainer(network=WITH_NORM, transfer=thawing) for _ in range(2))

    def kernels(of):
        return [layer.kernel.numpy() for layer in of.network.layers if isinstance(layer, keras.layers.Conv2D)]

    moved = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            moved.append([bool(np.any(a != b)) for a, b in zip(kernels(trainer), kernels(start), strict=True)])

    fit(trainer, images, epochs=5, callbacks=[Unfreeze(STEPS_PER_EPOCH), Look()])
    assert moved == [[epoch > depth for depth in (3, 2, 1, 0)] for epoch in range(5)]


def test_half_precision_scales_the_loss_and_skips_a_step_that_overflows(images):
    keras.config.set_dtype_policy("mixed_float16")
    trainer = make_trainer(OptimizerConfig(optimizer="adamw"), learning_rate=1e-2)
    start = get_weights(trainer)
    # The first gradients overflow on purpose: all optimizers leave the weights and halve their scale, together.
    for group in trainer.groups:
        group.optimizer.dynamic_scale.assign(2.0**120)
    fit(trainer, images[:8], epochs=1)
    for now, before in zip(get_weights(trainer), start, strict=True):
        np.testing.assert_array_equal(now, before)
    assert {float(group.optimizer.dynamic_scale) for group in trainer.groups} == {2.0**119}
    for group in trainer.groups:
        group.optimizer.dynamic_scale.assign(2.0**10)
    history = fit(trainer, images, epochs=6)
    assert history["loss"][-1] < history["loss"][0]


def test_a_checkpoint_restores_weights_averages_and_all_optimizers(images):
    everything = OptimizerConfig(optimizer="adamw", weight_decay=0.1, ema=0.9, schedule="cosine")
    network = CNNConfig(filters=(4, 4), dense_units=(6,), batch_norm=True, dropout=0.3)
    whole = make_trainer(everything, network, learning_rate=1e-2)
    fit(whole, images, epochs=4)
    half = make_trainer(everything, network, learning_rate=1e-2)
    fit(half, images, epochs=2)
    saved = checkpoints.save(
        half, runs.open_run(RunConfig(run="run"), "test"), checkpoints.TrainingState(10), STEPS_PER_EPOCH
    )
    resumed = make_trainer(everything, network, learning_rate=1e-2, seed=99)
    assert checkpoints.restore(resumed, saved).step == 10
    fit(resumed, images, epochs=4, first_step=10, initial_epoch=2)
    assert_same_weights(whole, resumed, atol=1e-7)
    for one, two in zip(whole.exported.weights, resumed.exported.weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-7)


def test_training_lowers_the_loss(images):
    """Forty random images by heart."""
    network = CNNConfig(filters=(8, 8), dense_units=(32,))
    trainer = make_trainer(OptimizerConfig(optimizer="adam"), network, learning_rate=3e-3)
    fit(trainer, images, epochs=40)
    found = trainer.evaluate(make_evaluation_batches(make_image_set(images), 8), verbose=0, return_dict=True)
    assert found["accuracy"] == 1.0
