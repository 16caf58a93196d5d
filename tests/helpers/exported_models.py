"""Tiny exports of every task, for the tests of what is done with exports. Their networks have learned nothing."""

import keras
import numpy as np

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.gan import TINY
from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.export.classifier import make_classifier_export
from karpa_tf.export.generator import make_generator_export
from karpa_tf.export.masked_lm import make_masked_lm_export
from karpa_tf.export.text_classifier import make_text_classifier_export
from karpa_tf.export.versions import write
from karpa_tf.models.bert import make_encoder, make_masked_lm, make_text_classifier
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_generator

CLASSES = ("Äpfel & Birnen", "cat", "日本")
"""Of the classifier of images."""

SIDE = 12
"""Of its images, which have three channels."""

OPINIONS = ("bad", "good")
"""Classes of the classifier of texts."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = Vocabulary((*SPECIAL, "the", "list", *LETTERS, *(f"##{x}" for x in LETTERS), ".", "!", "[", "]", "中"))
BERT = BERTConfig(max_sequence_length=16, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16, num_segments=0)


TEXTS = ("the list of a cat.", "a good cat! the list")
"""Examples for models of texts."""


def tiny_classifier(seed=0):
    """Returns an `Export`."""
    keras.utils.set_random_seed(seed)
    config = ResNetConfig(filters=(4, 8), blocks=(1, 1))
    images = np.random.default_rng(seed + 1).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    return make_classifier_export(_shaken(make_classifier(config, (SIDE, SIDE, 3), len(CLASSES))), CLASSES, images)


def tiny_generator(seed=0):
    """Returns the `Export` of a generator of 16x16 gray images for noise of length 8."""
    keras.utils.set_random_seed(seed)
    generator = make_generator(TINY)
    # Untrained batch statistics would make all images the same gray.
    for _ in range(50):
        generator(np.random.default_rng(seed).normal(size=(32, 8)).astype(np.float32), training=True)
    return make_generator_export(generator)


def tiny_masked_lm(seed=0, texts=TEXTS):
    """Returns an `Export`."""
    keras.utils.set_random_seed(seed)
    model = _shaken(make_masked_lm(BERT, make_encoder(BERT, len(VOCABULARY))))
    return make_masked_lm_export(model, VOCABULARY, BERT.max_sequence_length, texts)


def tiny_text_classifier(seed=0):
    """Returns an `Export`."""
    keras.utils.set_random_seed(seed)
    model = _shaken(make_text_classifier(BERT, make_encoder(BERT, len(VOCABULARY)), len(OPINIONS)))
    return make_text_classifier_export(model, VOCABULARY, BERT.max_sequence_length, OPINIONS, TEXTS)


def export_tiny_classifier(base, seed=0):
    """Publishes a version below `base` and returns its folder."""
    return write(base, tiny_classifier(seed))


def export_tiny_generator(base, seed=0):
    """Publishes a version below `base` and returns its folder."""
    return write(base, tiny_generator(seed))


def export_tiny_masked_lm(base, seed=0):
    """Publishes a version below `base` and returns its folder."""
    return write(base, tiny_masked_lm(seed))


def export_tiny_text_classifier(base, seed=0):
    """Publishes a version below `base` and returns its folder."""
    return write(base, tiny_text_classifier(seed))


def _shaken(model):
    for place, weight in enumerate(model.weights):
        weight.assign(weight + 0.5 * keras.random.normal(weight.shape, seed=place))
    return model
