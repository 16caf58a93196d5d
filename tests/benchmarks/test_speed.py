"""What makes the steps fast is still in them: ops of their graphs, and ratios of two forms measured in turn.

The ratios are far above what is asked for, and a machine that is busy for a while is given time; absolute times say
nothing on machines that are shared.
"""

import collections
import statistics
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.gan_step import two_pass
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.gan import DCGANConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.models.bert import make_encoder, make_masked_lm
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_discriminator, make_generator
from karpa_tf.training.optimizers import ParameterGroup, make_optimizer_groups
from karpa_tf.training.trainers.classifier import Classifier
from karpa_tf.training.trainers.gan import GAN
from karpa_tf.training.trainers.masked_lm import MaskedLM

SGD = OptimizerConfig(optimizer="sgd")
WORDS, LENGTH, PREDICTIONS = 12_000, 128, 20


def times_as_fast(forms, enough, rounds=9, most=60):
    """Returns the median, over rounds in which both forms run in turn, of the second's time over the first's.

    As long as it is not above `enough`, up to `most` rounds are run.

    Args:
        forms: two pairs of a trainer and a batch.
    """
    steps = [(tf.function(trainer.train_step), batch) for trainer, batch in forms]
    for step, batch in steps * 2:  # traced, and run once
        step(batch)
    ratios = []
    while len(ratios) < rounds or (statistics.median(ratios) <= enough and len(ratios) < most):
        seconds = []
        for step, batch in steps:
            start = time.perf_counter()
            for _ in range(3):
                tf.nest.flatten(step(batch))[0].numpy()
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def graph_of(trainer, batch):
    return tf.function(trainer.train_step).get_concrete_function(batch).graph


def count_ops(trainer, batch):
    """Returns how often each kind of op stands in a trainer's step."""
    return collections.Counter(op.type for op in graph_of(trainer, batch).get_operations())


def classifier(model):
    trainer = Classifier(model)
    trainer.compile(make_optimizer_groups(SGD, 0.1, [ParameterGroup(model.trainable_variables)], 10, 10))
    return trainer


def small_resnet():
    """Many channels to normalize, and convolutions of 1x1 between them."""
    return make_classifier(ResNetConfig(blocks=(2,), filters=(8,), block="bottleneck"), (32, 32, 3), 10)


def images_and_targets(batch_size=64):
    images = np.random.default_rng(0).normal(size=(batch_size, 32, 32, 3))
    return tf.constant(images, tf.float32), tf.one_hot(tf.range(batch_size) % 10, 10)


def with_keras_batch_norm(model):
    def copy(layer):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        return (keras.layers.BatchNormalization if is_norm else type(layer)).from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=copy)


def test_batch_normalization_is_one_kernel_forward_and_one_back():
    model = small_resnet()
    count = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    ops = count_ops(classifier(model), images_and_targets())
    assert ops["FusedBatchNormV3"] == ops["FusedBatchNormGradV3"] == count > 5
    assert ops["SquaredDifference"] == 0
    plain = count_ops(classifier(with_keras_batch_norm(model)), images_and_targets())
    assert plain["SquaredDifference"] == count  # so that is what Keras' way looks like


@pytest.mark.slow
def test_fused_batch_normalization_is_faster_than_keras():
    model = small_resnet()
    forms = [(classifier(form), images_and_targets()) for form in (model, with_keras_batch_norm(model))]
    assert times_as_fast(forms, enough=1.2) > 1.2  # about 1.7


# A generator that takes most of the time.
LARGE_GENERATOR = DCGANConfig(latent_dim=16, channels=1, base_size=8, filters=(64, 32), discriminator_filters=(4, 4))


def gan(kind):
    trainer = kind(make_generator(LARGE_GENERATOR), make_discriminator(LARGE_GENERATOR))
    trainer.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    return trainer


def images_and_noise(batch_size=64):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch_size, LARGE_GENERATOR.side, LARGE_GENERATOR.side, 1))
    return tf.constant(images, tf.float32), tf.constant(rng.normal(size=(batch_size, 16)), tf.float32)


def test_both_players_learn_from_one_pass_of_the_generator():
    # Nothing else ends in a hyperbolic tangent.
    assert count_ops(gan(GAN), images_and_noise())["Tanh"] == 1
    assert count_ops(gan(two_pass(GAN)), images_and_noise())["Tanh"] == 2


@pytest.mark.slow
def test_one_pass_is_faster_than_two():
    forms = [(gan(kind), images_and_noise()) for kind in (GAN, two_pass(GAN))]
    assert times_as_fast(forms, enough=1.1) > 1.1  # about 1.35


@pytest.fixture(scope="module")
def masked_lm():
    config = BERTConfig(
        max_sequence_length=LENGTH, hidden_dim=64, num_layers=1, num_heads=2, intermediate_dim=64, dropout=0.0
    )
    model = make_masked_lm(config, make_encoder(config, WORDS))
    trainer = MaskedLM(model)
    trainer.compile(make_optimizer_groups(SGD, 0.1, [ParameterGroup(model.trainable_variables)], 10, 10))
    return trainer


def rows(places, batch_size=8):
    """A batch in which logits are made for the first `places` of every row, and 20 of them count."""
    ids = np.random.default_rng(0).integers(5, WORDS, (batch_size, LENGTH)).astype(np.int32)
    positions = np.tile(np.arange(places, dtype=np.int32), (batch_size, 1))
    return {
        "token_ids": tf.constant(ids),
        "padding_mask": tf.ones(ids.shape, tf.bool),
        "mask_positions": tf.constant(positions),
        "mask_ids": tf.constant(ids[:, :places]),
        "mask_weights": tf.constant(positions < PREDICTIONS, tf.float32),
    }


def test_logits_are_made_for_the_hidden_tokens_alone(masked_lm):
    graph = graph_of(masked_lm, rows(PREDICTIONS))
    shapes = [tuple(op.outputs[0].shape) for op in graph.get_operations() if op.type == "MatMul"]
    logits = [shape for shape in shapes if WORDS in shape]
    # The logits, and the gradient of the embedding.
    assert sorted(logits) == [(64, WORDS), (8 * PREDICTIONS, WORDS)]


@pytest.mark.slow
def test_a_head_over_the_hidden_tokens_is_faster_than_one_over_all(masked_lm):
    forms = [(masked_lm, rows(PREDICTIONS)), (masked_lm, rows(LENGTH))]
    losses = []
    for trainer, batch in forms:
        losses.append(float(trainer.test_step(batch)["loss"]))
        trainer.reset_metrics()
    np.testing.assert_allclose(*losses, rtol=1e-5)  # the same work
    assert times_as_fast(forms, enough=2.0) > 2.0  # about 3.8


def test_no_step_holds_the_slow_kernels_that_keras_layers_bring():
    padded = ResNetConfig(blocks=(1, 1), filters=(4, 8), shortcut="padding")
    resnet = count_ops(classifier(make_classifier(padded, (32, 32, 3), 10)), images_and_targets(2))
    assert resnet["AvgPool"] == 1
    assert resnet["StridedSliceGrad"] == 0
    config = BERTConfig(max_sequence_length=8, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=8, dropout=0.5)
    model = make_masked_lm(config, make_encoder(config, WORDS))
    graph = tf.function(lambda: model(model_inputs(), training=True)).get_concrete_function().graph
    ops = graph.get_operations()
    # Keras' GELU, attention and layer normalization.
    assert not [op for op in ops if op.type in ("Erfc", "Einsum", "SquaredDifference")]
    words = [tuple(op.outputs[0].shape) for op in ops if op.type == "StatelessRandomUniformFullIntV2"]
    assert words.count((2, 8, 2)) == 3  # for 2 x 8 x 8 elements each
    assert not [op for op in ops if op.type == "StatelessRandomUniformV2"]


def model_inputs():
    ids = tf.ones((2, 8), tf.int32)
    return {"token_ids": ids, "padding_mask": tf.ones((2, 8), tf.bool), "mask_positions": ids[:, :2]}


@pytest.mark.parametrize("make", [small_resnet, lambda: make_discriminator(LARGE_GENERATOR)])
def test_under_mixed_precision_all_convolutions_and_their_gradients_are_of_the_half_type(make):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = make()
    images = tf.zeros((2, *model.input_shape[1:]))

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(images, training=True))
        return tape.gradient(total, model.trainable_variables)

    operations = gradients.get_concrete_function().graph.get_operations()
    heavy = [op for op in operations if op.type.startswith(("Conv2D", "FusedBatchNorm"))]
    assert heavy and all(op.outputs[0].dtype == tf.bfloat16 for op in heavy)
