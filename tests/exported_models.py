"""Tiny exports of every task, for the tests of what is done with exports. Their networks have learned nothing."""

import keras
import numpy as np

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.dcgan import TINY
from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.export.classifier import export_classifier
from karpa_tf.export.generator import export_generator
from karpa_tf.export.masked_lm import export_masked_lm
from karpa_tf.export.text_classifier import export_text_classifier
from karpa_tf.models.bert import make_encoder, make_masked_lm, make_text_classifier
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_generator
from karpa_tf.text.vocabulary import SPECIAL, Vocabulary

CLASSES = ("Äpfel & Birnen", "cat", "日本")
"""Of the classifier of pictures."""

SIDE = 12
"""Of its pictures, which have three channels."""

OPINIONS = ("bad", "good")
"""Classes of the classifier of texts."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = Vocabulary((*SPECIAL, "the", "list", *LETTERS, *(f"##{x}" for x in LETTERS), ".", "!", "[", "]", "中"))
BERT = BERTConfig(length=16, width=8, depth=1, heads=2, feed_forward=16, segments=0)


def export_tiny_classifier(base, seed=0):
    """Publishes a version below `base` and returns its folder."""
    keras.utils.set_random_seed(seed)
    config = ResNetConfig(widths=(4, 8), blocks=(1, 1))
    return export_classifier(_shaken(make_classifier(config, (SIDE, SIDE, 3), len(CLASSES))), CLASSES, base)


def export_tiny_generator(base, seed=0):
    """Publishes a version below `base`, of 16x16 grey pictures for noise of length 8, and returns its folder."""
    keras.utils.set_random_seed(seed)
    generator = make_generator(TINY)
    # Untrained batch statistics would make all pictures the same grey.
    for _ in range(50):
        generator(np.random.default_rng(seed).normal(size=(32, 8)).astype(np.float32), training=True)
    return export_generator(generator, base)


def export_tiny_masked_lm(base, seed=0):
    """Publishes a version below `base` and returns its folder."""
    keras.utils.set_random_seed(seed)
    model = _shaken(make_masked_lm(BERT, make_encoder(BERT, len(VOCABULARY))))
    return export_masked_lm(model, VOCABULARY, BERT.length, base)


def export_tiny_text_classifier(base, seed=0):
    """Publishes a version below `base` and returns its folder."""
    keras.utils.set_random_seed(seed)
    model = _shaken(make_text_classifier(BERT, make_encoder(BERT, len(VOCABULARY)), len(OPINIONS)))
    return export_text_classifier(model, VOCABULARY, BERT.length, OPINIONS, base)


def _shaken(model):
    for place, weight in enumerate(model.weights):
        weight.assign(weight + 0.5 * keras.random.normal(weight.shape, seed=place))
    return model
