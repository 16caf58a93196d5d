"""What karpa_tf is measured against does the same work: the same weights and loss, and a step that learns."""

import importlib.util
import itertools

import pytest

from benchmarks import inference, start_up
from benchmarks.contender import Finished
from benchmarks.ours import classifier, gan, masked_lm
from benchmarks.peers import keras_dcgan, keras_hub_bert, keras_resnet
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.gan import DCGANConfig
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
PADDED = ResNetConfig(blocks=(1, 2), filters=(4, 9), shortcut="padding")
PROJECTED = ResNetConfig(blocks=(1, 2), filters=(4, 8))
BERT = BERTConfig(max_sequence_length=20, hidden_dim=16, num_layers=2, num_heads=4, intermediate_dim=40, num_segments=2)
WORDS, BATCH = 60, 4


def installed(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def torch_dcgan(*arguments):
    from benchmarks.peers import torch_dcgan

    return torch_dcgan.program(*arguments)


def torch_resnet(*arguments):
    from benchmarks.peers import torch_resnet

    return torch_resnet.program(*arguments)


def transformers_bert(*arguments):
    from benchmarks.peers import transformers_bert

    return transformers_bert.program(*arguments)


def transformers_bert_gathered(*arguments):
    from benchmarks.peers import transformers_bert

    return transformers_bert.program(*arguments, gathered=True, attention_dropout=False)


PEERS = [
    (gan.program, keras_dcgan.program, (PAPER, BATCH)),
    (gan.program, keras_dcgan.program, (TUTORIAL, BATCH)),
    pytest.param(gan.program, torch_dcgan, (PAPER, BATCH), marks=installed("torch")),
    pytest.param(gan.program, torch_dcgan, (TUTORIAL, BATCH), marks=installed("torch")),
    (classifier.program, keras_resnet.program, (PADDED, BATCH)),
    (classifier.program, keras_resnet.program, (PROJECTED, BATCH)),
    pytest.param(classifier.program, torch_resnet, (PADDED, BATCH), marks=installed("torch")),
    pytest.param(classifier.program, torch_resnet, (PROJECTED, BATCH), marks=installed("torch")),
    (masked_lm.program, keras_hub_bert.program, (BERT, BATCH, WORDS)),
    pytest.param(masked_lm.program, transformers_bert, (BERT, BATCH, WORDS), marks=installed("transformers")),
    pytest.param(masked_lm.program, transformers_bert_gathered, (BERT, BATCH, WORDS), marks=installed("transformers")),
]


def make_steps(program, count):
    made = itertools.count(1)

    def after_step():
        if next(made) == count:
            raise Finished

    with pytest.raises(Finished):
        program.run(after_step)


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs", "settings"), PEERS)
def test_a_peer_has_our_weights_and_loss_and_makes_steps(ours, theirs, settings, tmp_path):
    first = ours(tmp_path, "float32", *settings)
    other = theirs(tmp_path, "float32", *settings)
    assert other.parameters == first.parameters
    assert other.loss == pytest.approx(first.loss, rel=1e-4)
    make_steps(other, 3)


def test_an_export_and_the_model_give_the_same_answers(tmp_path):
    programs = [make(tmp_path, PADDED, BATCH) for make in (inference.signature, inference.called, inference.predict)]
    assert programs[0].loss > 0.1
    assert [program.loss for program in programs[1:]] == pytest.approx([programs[0].loss] * 2, rel=1e-5)
    assert len({program.parameters for program in programs}) == 1
    for program in programs:
        make_steps(program, 2)


@pytest.mark.slow
def test_a_start_ends_after_the_first_step():
    make_steps(start_up.program(["-m", "benchmarks.start_up"]), 1)
