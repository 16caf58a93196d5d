"""Random initial weights are different ones in every layer of every network."""

import keras
import numpy as np
import pytest

from karpa_tf.configs import airbench, bert, cnn, dcgan, residual_gan, resnet, vgg, vit
from karpa_tf.configs.masked_image import DecoderConfig
from karpa_tf.models import bert as bert_models
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.gans import make_discriminator, make_generator
from karpa_tf.models.masked_autoencoder import make_masked_autoencoder

BERT = bert.BERTConfig(hidden_dim=16, num_layers=2, num_heads=2, intermediate_dim=32, num_segments=2)
CLASSIFIERS = {
    "cnn": cnn.CNNConfig(filters=(8, 8), dense_units=(8,)),
    "vgg": vgg.VGGConfig(convolutions=(2,), filters=(8,)),
    "resnet": resnet.ResNetConfig(blocks=(2,), filters=(8,)),
    "airbench": airbench.AirbenchConfig(filters=(24, 24)),
    "vit": vit.ViTConfig(patch_size=4, hidden_dim=16, num_layers=2, num_heads=2, intermediate_dim=32),
}
NETWORKS = {
    **{name: lambda config=config: make_classifier(config, (16, 16, 3), 5) for name, config in CLASSIFIERS.items()},
    "masked autoencoder": lambda: make_masked_autoencoder(CLASSIFIERS["vit"], DecoderConfig(), (16, 16, 3), 12),
    "pretraining": lambda: bert_models.make_pretraining(BERT, bert_models.make_encoder(BERT, 40)),
    "text classifier": lambda: bert_models.make_text_classifier(BERT, 40, 5),
    "tagger": lambda: bert_models.make_tagger(BERT, 40, 5),
    "dcgan generator": lambda: make_generator(dcgan.TINY),
    "dcgan discriminator": lambda: make_discriminator(dcgan.TINY),
    "residual generator": lambda: make_generator(residual_gan.TINY),
    "residual discriminator": lambda: make_discriminator(residual_gan.TINY),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_two_layers_have_the_same_random_numbers(name):
    keras.utils.set_random_seed(0)
    beginnings = {}
    for weight in NETWORKS[name]().weights:
        values = np.ravel(weight)[:8]
        if "seed" not in weight.path and len(np.unique(values)) > 3:  # neither constant nor an identity
            scaled = tuple(np.round(values / np.abs(values).max(), 4))
            beginnings.setdefault(scaled, []).append(weight.path)
    assert len(beginnings) >= 2 and [paths for paths in beginnings.values() if len(paths) > 1] == []
