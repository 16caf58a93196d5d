import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_variants
from tiny_gan import get_weights
from tiny_variants import VARIANTS, make_batches, make_trainer

SGD = functools.partial(keras.optimizers.SGD, 1e-3)


def assert_moved_alike(ones, others, initial):
    """Asserts that every array has moved by the same amount, within a hundredth of it and the rounding of float32.

    Biases before batch normalization have no gradient but rounding.
    """
    moved = 0
    for one, other, old in zip(ones, others, initial, strict=True):
        distance = np.abs(one - old).max()
        assert np.abs(other - one).max() < 0.01 * distance + 2e-6 * (1 + np.abs(old).max())
        moved += distance > 1e-4
    assert moved > len(ones) / 2


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if VARIANTS[name].model.family == "residual_gan" else [])
        for name in VARIANTS
    ],
)
def test_two_replicas_train_every_variant_as_one_does(name, images, two_replicas):
    alone = make_trainer(name, SGD)
    history_alone = tiny_variants.fit(alone, name, images)
    with two_replicas.scope():
        shared = make_trainer(name, SGD)
    history_shared = tiny_variants.fit(shared, name, images)

    largest = max(np.abs(values).max() for values in history_alone.values())  # of untrained logits: tens
    for metric, values in history_alone.items():
        np.testing.assert_allclose(history_shared[metric], values, rtol=1e-4, atol=1e-5 * largest)
    assert_moved_alike(get_weights(alone), get_weights(shared), get_weights(make_trainer(name, SGD)))


def test_a_step_is_that_of_the_algorithm_written_out(images):
    """Gulrajani et al. 2017, algorithm 1, with SGD: two updates of the critic, then one of the generator."""
    name = "wgan_gp"
    trainer, reference = make_trainer(name, SGD), make_trainer(name, SGD)
    batch = next(iter(make_batches(name, images).make(seed=1)))
    trainer.fit(tf.data.Dataset.from_tensors(batch), verbose=0, shuffle=False)

    initial = get_weights(reference)
    generator, critic = reference.generator, reference.discriminator
    for index in range(2):
        reals, fakes = batch["images"][:, index], generator(batch["noise"][:, index], training=True)
        fractions = batch["uniform"][:, index, -1][:, None, None, None]
        between = fractions * reals + (1 - fractions) * fakes
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(between)
                logits = critic(between)
            slopes = tf.norm(tf.reshape(inner.gradient(logits, between), (8, -1)), axis=1)
            loss = tf.reduce_mean(critic(fakes)) - tf.reduce_mean(critic(reals))
            loss += 10 * tf.reduce_mean((slopes - 1) ** 2)
        for variable, gradient in zip(
            critic.trainable_variables, tape.gradient(loss, critic.trainable_variables), strict=True
        ):
            variable.assign_sub(1e-3 * gradient)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(critic(generator(batch["noise"][:, 2], training=True)))
    for variable, gradient in zip(
        generator.trainable_variables, tape.gradient(loss, generator.trainable_variables), strict=True
    ):
        variable.assign_sub(1e-3 * gradient)

    weights = len(generator.weights + critic.weights)
    assert_moved_alike(get_weights(reference)[:weights], get_weights(trainer)[:weights], initial[:weights])


def test_the_lazy_penalty_is_computed_every_few_updates_with_as_many_times_the_weight(images):
    name = "r1"
    optimizer = functools.partial(keras.optimizers.SGD, 1e-12)  # so small that the networks do not change
    trainer = make_trainer(name, optimizer)
    batches = make_batches(name, images).make(seed=1)
    history = trainer.fit(batches, epochs=3, steps_per_epoch=1, verbose=0, shuffle=False).history
    first = next(iter(batches))["images"][:, 0]
    with tf.GradientTape() as tape:
        tape.watch(first)
        logits = trainer.discriminator(first)
    norms = tf.reduce_sum(tape.gradient(logits, first) ** 2, axis=(1, 2, 3))
    assert history["penalty"] == pytest.approx([3 * float(tf.reduce_mean(norms)) / 2, 0, 0], rel=1e-5)


@pytest.mark.parametrize("name", [pytest.param("wgan_gp", marks=pytest.mark.slow), "r1"])
def test_the_penalty_is_computed_in_float32_under_mixed_precision(name, images):
    optimizer = functools.partial(keras.optimizers.SGD, 1e-12)

    def first_penalty():
        trainer = make_trainer(name, optimizer)
        batches = make_batches(name, images).make(seed=1).take(1)
        if name == "wgan_gp":  # whose generated images do depend on the precision
            batches = batches.map(lambda batch: batch | {"uniform": tf.ones_like(batch["uniform"])})
        return trainer.fit(batches, verbose=0, shuffle=False).history["penalty"][0]

    exact = first_penalty()
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert first_penalty() == pytest.approx(exact, rel=1e-5) and exact > 0


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["wgan_gp", "sagan", "ada"])
def test_variants_train_in_mixed_precision(name, precision, images):
    keras.config.set_dtype_policy(precision)
    trainer = make_trainer(name)
    history = tiny_variants.fit(trainer, name, images, epochs=1)
    assert all(np.isfinite(values).all() for values in history.values())
    assert {weight.dtype for weight in trainer.trainable_variables} == {"float32"}


def test_augmentation_is_computed_in_float32_under_mixed_precision(images):
    batch = next(iter(make_batches("diffaugment", images).make(seed=1)))
    exact = make_trainer("diffaugment").augment(batch["images"], batch, 0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    trainer = make_trainer("diffaugment")
    np.testing.assert_array_equal(trainer.augment(batch["images"], batch, 0), exact)
    assert np.isfinite(list(trainer.train_step(batch).values())).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wgan_gp", "projection"])
def test_xla_compiles_variants_to_the_same_numbers(name, images):
    plain, compiled = make_trainer(name, SGD), make_trainer(name, SGD)
    compiled.compile(SGD(), SGD(), compiled.gan_losses, jit_compile=True)
    for trainer in (plain, compiled):
        tiny_variants.fit(trainer, name, images, epochs=1)
    assert_moved_alike(get_weights(plain), get_weights(compiled), get_weights(make_trainer(name, SGD)))


def test_the_discriminator_sees_augmented_images_only(images):
    trainer = make_trainer("diffaugment")
    batch = next(iter(make_batches("diffaugment", images).make(seed=1)))
    seen = []
    trainer.discriminate = lambda images, batch: seen.append(images.numpy()) or trainer.discriminator(images)
    trainer.train_step(batch)
    real, fake = seen
    assert not np.allclose(real, batch["images"])
    expected = trainer.augmentation(batch["images"], batch["uniform"][:, :10])
    np.testing.assert_allclose(real, expected, atol=1e-6)
    assert fake.shape == real.shape


def test_adaptive_augmentation_starts_at_0_and_moves_with_the_steps(images):
    trainer = make_trainer("ada")
    tiny_variants.fit(trainer, "ada", images)
    moved = float(trainer.augmentation.p)
    assert 0 <= moved <= 2 * len(images) / 500_000
    trainer.augmentation.p.assign(0.25)
    history = tiny_variants.fit(trainer, "ada", images)
    assert history["augment_probability"][0] == pytest.approx(0.25, abs=4 * len(images) / 500_000)
    trainer.augmentation.p.assign(0.25)
    trainer.save_weights("trainer.weights.h5")
    other = make_trainer("ada", seed=4)
    other.load_weights("trainer.weights.h5")
    assert float(other.augmentation.p) == 0.25


def test_a_conditional_gan_generates_and_judges_by_class(images):
    trainer = make_trainer("projection")
    tiny_variants.fit(trainer, "projection", images)
    noise = tf.random.stateless_normal((1, 4), (0, 1))
    one, other = (trainer.exported([noise, tf.constant([label])]) for label in (0, 2))
    assert not np.allclose(one, other)
    assert not np.allclose(*(trainer.discriminator([one, tf.constant([label])]).numpy() for label in (0, 2)))
