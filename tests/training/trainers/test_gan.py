import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_gan import FULL_CONFIG, fit, get_weights, make_dcgan_trainer, make_sgd_trainer

from karpa_tf import losses
from karpa_tf.data.images.batches import NoiseBatches


def one_batch(images, seed=0):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(8, 4)).astype(np.float32)
    return {"images": images[:8].astype(np.float32) / 127.5 - 1, "noise": noise}


def test_two_replicas_train_as_one_does(images, two_replicas):
    alone = make_sgd_trainer()
    history_alone = fit(alone, images)
    with two_replicas.scope():
        shared = make_sgd_trainer()
    history_shared = fit(shared, images)

    assert history_alone.keys() == history_shared.keys() == {"g_loss", "d_loss_real", "d_loss_fake", "D(x)", "D(G(z))"}
    for name, values in history_alone.items():
        np.testing.assert_allclose(history_shared[name], values, rtol=0, atol=1e-6)
    initial = get_weights(make_sgd_trainer())
    for one, two in zip(get_weights(alone), get_weights(shared), strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-6)
    # Not equal for want of movement: every tensor of both networks went at least a thousand times that far.
    moved = [np.abs(w - b).max() for w, b in zip(get_weights(alone), initial, strict=True)]
    assert min(moved) > 1e-3


def test_both_replicas_hold_the_same_weights(images, two_replicas):
    with two_replicas.scope():
        trainer = make_dcgan_trainer(config=FULL_CONFIG)
    fit(trainer, images)
    for weight in trainer.generator.weights + trainer.discriminator.weights + trainer.exported.weights:
        first, *others = two_replicas.experimental_local_results(weight.value)
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_a_step_follows_the_gradients_of_both_losses_computed_separately(images):
    images, noise = one_batch(images).values()
    trainer, reference = make_sgd_trainer(ema=0), make_sgd_trainer(ema=0)
    fit_one = tf.data.Dataset.from_tensors({"images": images, "noise": noise})
    trainer.fit(fit_one, verbose=0, shuffle=False)

    generator, discriminator = reference.generator, reference.discriminator
    bce = keras.losses.BinaryCrossentropy(from_logits=True)  # the mean over the batch, another implementation
    with tf.GradientTape() as tape:
        fakes = tf.stop_gradient(generator(noise, training=True))
        loss = bce(tf.ones((8, 1)), discriminator(images)) + bce(tf.zeros((8, 1)), discriminator(fakes))
    d_gradients = tape.gradient(loss, discriminator.trainable_variables)
    with tf.GradientTape() as tape:
        loss = bce(tf.ones((8, 1)), discriminator(generator(noise, training=True)))
    g_gradients = tape.gradient(loss, generator.trainable_variables)

    for player, gradients in ((trainer.generator, g_gradients), (trainer.discriminator, d_gradients)):
        before = (reference.generator if player is trainer.generator else discriminator).trainable_variables
        for variable, old, gradient in zip(player.trainable_variables, before, gradients, strict=True):
            np.testing.assert_allclose(variable.numpy(), old.numpy() - 0.1 * gradient.numpy(), rtol=1e-5, atol=1e-7)


def test_metrics_are_exact_means_over_the_epoch(images):
    trainer = make_sgd_trainer(learning_rate=1e-12)  # so small that the networks stay what they were
    history = fit(trainer, images, epochs=1)
    real, fake = [], []
    for batch in NoiseBatches(images, 8, 4).make(seed=1).take(5):
        real.append(trainer.discriminator(batch["images"]).numpy())
        fake.append(trainer.discriminator(trainer.generator(batch["noise"])).numpy())
    real, fake = np.concatenate(real), np.concatenate(fake)
    expected = {
        "g_loss": np.log1p(np.exp(-fake)).mean(),
        "d_loss_real": np.log1p(np.exp(-real)).mean(),
        "d_loss_fake": np.log1p(np.exp(fake)).mean(),
        "D(x)": (1 / (1 + np.exp(-real))).mean(),
        "D(G(z))": (1 / (1 + np.exp(-fake))).mean(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(history[name], [value], rtol=1e-5)


def test_the_keys_of_a_step_are_the_names_of_the_metrics(images):
    trainer = make_dcgan_trainer()
    assert list(trainer.train_step(one_batch(images))) == [metric.name for metric in trainer.metrics]
    assert list(trainer.test_step(one_batch(images))) == [metric.name for metric in trainer.metrics]


def test_both_optimizers_are_built_before_the_first_step_and_count_every_step(images):
    trainer = make_dcgan_trainer()
    assert trainer.generator_optimizer.built and trainer.discriminator_optimizer.built
    fit(trainer, images, epochs=3)
    assert int(trainer.generator_optimizer.iterations.numpy()) == 15
    assert int(trainer.discriminator_optimizer.iterations.numpy()) == 15


def test_the_exported_generator_is_the_moving_average_of_the_generator(images):
    trainer = make_dcgan_trainer(ema=0.7)
    average = [weight.numpy().astype(np.float64) for weight in trainer.generator.weights]
    for step in range(1, 7):
        trainer.fit(tf.data.Dataset.from_tensors(one_batch(images, step)), verbose=0, shuffle=False)
        decay = min(0.7, (1 + step) / (10 + step))
        average = [decay * a + (1 - decay) * w.numpy() for a, w in zip(average, trainer.generator.weights, strict=True)]
    for weight, expected in zip(trainer.exported.weights, average, strict=True):
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_without_an_average_the_generator_itself_is_exported(images):
    trainer = make_dcgan_trainer(ema=0)
    fit(trainer, images, epochs=1)
    assert trainer.exported is trainer.generator


def test_evaluation_uses_the_moving_average_and_changes_nothing(images):
    trainer = make_dcgan_trainer(ema=0.9)
    fit(trainer, images)
    before = get_weights(trainer)
    batch = one_batch(images)
    report = trainer.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    logits = trainer.discriminator(trainer.exported(batch["noise"])).numpy()
    np.testing.assert_allclose(report["D(G(z))"], (1 / (1 + np.exp(-logits))).mean(), rtol=1e-5)
    for old, new in zip(before, get_weights(trainer), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_losses_are_functions_handed_to_the_trainer(images):
    least_squares = losses.GANLosses(
        generator=lambda logits: tf.square(logits[:, 0] - 1),
        real=lambda logits: tf.square(logits[:, 0] - 1),
        fake=lambda logits: tf.square(logits[:, 0]),
    )
    trainer = make_sgd_trainer(ema=0)
    optimizers = keras.optimizers.SGD(1e-12), keras.optimizers.SGD(1e-12)  # so small that the networks do not change
    trainer.compile(*optimizers, least_squares)
    batch = one_batch(images)
    history = trainer.fit(tf.data.Dataset.from_tensors(batch), verbose=0, shuffle=False).history
    fake = trainer.discriminator(trainer.generator(batch["noise"])).numpy()
    real = trainer.discriminator(batch["images"]).numpy()
    np.testing.assert_allclose(history["g_loss"], np.square(fake - 1).mean(), rtol=1e-5)
    np.testing.assert_allclose(history["d_loss_real"], np.square(real - 1).mean(), rtol=1e-5)
    np.testing.assert_allclose(history["d_loss_fake"], np.square(fake).mean(), rtol=1e-5)


def test_loss_scaling_preserves_gradients_below_the_range_of_float16(images):
    def generator_update(learning_rate=1e7):
        trainer = make_sgd_trainer(ema=0, learning_rate=learning_rate)
        # D takes the fakes for real: the gradient that reaches G is of the order of e^-17, below float16's range.
        trainer.discriminator.get_layer("logits").bias.assign([17.0])
        before = [weight.numpy() for weight in trainer.generator.weights]
        trainer.fit(tf.data.Dataset.from_tensors(one_batch(images)), verbose=0, shuffle=False)
        after = [weight.numpy() for weight in trainer.generator.weights]
        assert trainer.generator_optimizer.built and trainer.discriminator_optimizer.built
        return np.concatenate([(new - old).ravel() for old, new in zip(before, after, strict=True)])

    exact = generator_update()
    keras.config.set_dtype_policy("mixed_float16")
    scaled = generator_update()
    assert np.linalg.norm(exact) > 1e-3
    assert np.linalg.norm(scaled - exact) < 0.05 * np.linalg.norm(exact)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_on_two_replicas(precision, images, two_replicas):
    keras.config.set_dtype_policy(precision)
    with two_replicas.scope():
        trainer = make_dcgan_trainer()
    history = fit(trainer, images)
    assert all(np.isfinite(values).all() for values in history.values())
    assert all(weight.dtype == "float32" for weight in trainer.trainable_variables)
    assert int(trainer.generator_optimizer.iterations.numpy()) == 10


def test_xla_compiles_the_step_to_the_same_numbers(images):
    plain, compiled = make_sgd_trainer(), make_sgd_trainer()
    compiled.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), jit_compile=True)
    fit(plain, images, epochs=1)
    fit(compiled, images, epochs=1)
    for one, other in zip(get_weights(plain), get_weights(compiled), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
