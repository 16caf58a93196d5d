"""Other programs do the same work as karpa_tf: the same weights and loss, and working training steps."""

import dataclasses
import importlib.util
import itertools

import pytest

from benchmarks import inference, start_up
from benchmarks.ours import classifier, gan, masked_lm, residual_gan, tagger
from benchmarks.peers import keras_dcgan, keras_hub_bert, keras_resnet
from benchmarks.program import StopRun
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.dcgan import DCGANConfig
from karpa_tf.configs.gan import ResidualGAN
from karpa_tf.configs.residual_gan import ResidualGANConfig
from karpa_tf.configs.resnet import ResNetConfig

PAPER = DCGANConfig(
    base_size=4,
    filters=(8, 6),
    discriminator_filters=(6, 8),
    kernel_size=4,
    generator_negative_slope=0,
    discriminator_batch_norm=True,
)
TUTORIAL = DCGANConfig(latent_dim=10, channels=1, base_size=7, filters=(8, 6), discriminator_filters=(6, 8))
WGAN_GP = ResidualGAN(
    model=ResidualGANConfig(latent_dim=6, filters=(8, 6), discriminator_filters=(6, 6, 8), spectral_norm="none"),
    batch_size=4,
    loss="wasserstein",
    critic_steps=2,
    penalty="gradient",
    ema=0.0,
)
SAGAN = ResidualGAN(
    model=ResidualGANConfig(
        latent_dim=6, filters=(16, 8), discriminator_filters=(16, 16, 24), spectral_norm="both", attention_size=8
    ),
    batch_size=4,
    loss="hinge",
    critic_steps=1,
    discriminator_learning_rate=4e-4,
    ema=0.0,
)
PADDED = ResNetConfig(blocks=(1, 2), filters=(4, 9), shortcut="padding")
PROJECTED = ResNetConfig(blocks=(1, 2), filters=(4, 8))
BERT = BERTConfig(max_sequence_length=20, hidden_dim=16, num_layers=2, num_heads=4, intermediate_dim=40, num_segments=2)
LONGER_BERT = dataclasses.replace(BERT, max_sequence_length=128)
VOCABULARY_SIZE, BATCH_SIZE = 60, 4


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def torch_dcgan(*arguments):
    from benchmarks.peers import torch_dcgan

    return torch_dcgan.make_program(*arguments)


def torch_residual_gan(*arguments):
    from benchmarks.peers import torch_residual_gan

    return torch_residual_gan.make_program(*arguments)


def torch_residual_gan_channels_last(*arguments):
    return torch_residual_gan(*arguments, True)


def torch_resnet(*arguments):
    from benchmarks.peers import torch_resnet

    return torch_resnet.make_program(*arguments)


def transformers_bert(*arguments):
    from benchmarks.peers import transformers_bert

    return transformers_bert.make_program(*arguments)


def transformers_bert_gathered(*arguments):
    from benchmarks.peers import transformers_bert

    return transformers_bert.make_program(*arguments, gathered=True, attention_dropout=False)


def transformers_tagger(*arguments):
    from benchmarks.peers import transformers_tagger

    return transformers_tagger.make_program(*arguments)


def transformers_tagger_by_length(*arguments):
    from benchmarks.peers import transformers_tagger

    return transformers_tagger.make_program(*arguments, by_length=True, attention_dropout=False)


PEERS = [
    (gan.make_program, keras_dcgan.make_program, (PAPER, BATCH_SIZE)),
    (gan.make_program, keras_dcgan.make_program, (TUTORIAL, BATCH_SIZE)),
    pytest.param(gan.make_program, torch_dcgan, (PAPER, BATCH_SIZE), marks=needs("torch")),
    pytest.param(gan.make_program, torch_dcgan, (TUTORIAL, BATCH_SIZE), marks=needs("torch")),
    pytest.param(residual_gan.make_program, torch_residual_gan, (WGAN_GP,), marks=needs("torch")),
    pytest.param(residual_gan.make_program, torch_residual_gan, (SAGAN,), marks=needs("torch")),
    pytest.param(residual_gan.make_program, torch_residual_gan_channels_last, (WGAN_GP,), marks=needs("torch")),
    pytest.param(residual_gan.make_program, torch_residual_gan_channels_last, (SAGAN,), marks=needs("torch")),
    (classifier.make_program, keras_resnet.make_program, (PADDED, BATCH_SIZE)),
    (classifier.make_program, keras_resnet.make_program, (PROJECTED, BATCH_SIZE)),
    pytest.param(classifier.make_program, torch_resnet, (PADDED, BATCH_SIZE), marks=needs("torch")),
    pytest.param(classifier.make_program, torch_resnet, (PROJECTED, BATCH_SIZE), marks=needs("torch")),
    (masked_lm.make_program, keras_hub_bert.make_program, (BERT, BATCH_SIZE, VOCABULARY_SIZE)),
    pytest.param(
        masked_lm.make_program, transformers_bert, (BERT, BATCH_SIZE, VOCABULARY_SIZE), marks=needs("transformers")
    ),
    pytest.param(
        masked_lm.make_program,
        transformers_bert_gathered,
        (BERT, BATCH_SIZE, VOCABULARY_SIZE),
        marks=needs("transformers"),
    ),
    *(
        pytest.param(
            tagger.make_program, other, (LONGER_BERT, BATCH_SIZE, VOCABULARY_SIZE), marks=needs("transformers")
        )
        for other in (transformers_tagger, transformers_tagger_by_length)
    ),
]


def run_steps(program, count):
    numbers = itertools.count(1)

    def after_step():
        if next(numbers) == count:
            raise StopRun

    with pytest.raises(StopRun):
        program.run(after_step)


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs", "settings"), PEERS)
def test_a_peer_has_the_same_weights_and_loss_and_runs_steps(ours, theirs, settings, tmp_path):
    first = ours(tmp_path, "float32", *settings)
    other = theirs(tmp_path, "float32", *settings)
    assert other.parameters == first.parameters
    assert other.loss == pytest.approx(first.loss, rel=1e-4)
    run_steps(other, 3)


def test_an_export_and_its_model_have_the_same_loss(tmp_path):
    functions = (inference.make_export_program, inference.make_call_program, inference.make_predict_program)
    programs = [make_program(tmp_path, PADDED, BATCH_SIZE) for make_program in functions]
    assert programs[0].loss > 0.1
    assert [program.loss for program in programs[1:]] == pytest.approx([programs[0].loss] * 2, rel=1e-5)
    assert len({program.parameters for program in programs}) == 1
    for program in programs:
        run_steps(program, 2)


@pytest.mark.slow
def test_a_started_process_ends_after_its_first_step():
    run_steps(start_up.make_program(["-m", "benchmarks.start_up"]), 1)
