"""What karpa_tf is measured against does the same work: the same weights and loss, and a step that learns."""

import importlib.util
import itertools

import pytest

from benchmarks.contender import Finished
from benchmarks.ours import classifier, gan, masked_lm
from benchmarks.peers import keras_dcgan, keras_hub_bert, keras_resnet
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.dcgan import DCGANConfig
from karpa_tf.configs.resnet import ResNetConfig

PAPER = DCGANConfig(
    base=4, widths=(8, 6), discriminator_widths=(6, 8), kernel_size=4, generator_slope=0, discriminator_batch_norm=True
)
TUTORIAL = DCGANConfig(latent_dim=10, channels=1, base=7, widths=(8, 6), discriminator_widths=(6, 8))
PADDED = ResNetConfig(blocks=(1, 2), widths=(4, 9), shortcut="padding")
PROJECTED = ResNetConfig(blocks=(1, 2), widths=(4, 8))
BERT = BERTConfig(length=20, width=16, depth=2, heads=4, feed_forward=40, segments=2)
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


@pytest.mark.parametrize(("ours", "theirs", "settings"), PEERS)
def test_a_peer_has_our_weights_and_loss_and_makes_steps(ours, theirs, settings, tmp_path):
    first = ours(tmp_path, "float32", *settings)
    other = theirs(tmp_path, "float32", *settings)
    assert other.parameters == first.parameters
    assert other.loss == pytest.approx(first.loss, rel=1e-4)
    steps = itertools.count(1)

    def after_step():
        if next(steps) == 3:
            raise Finished

    with pytest.raises(Finished):
        other.run(after_step)
