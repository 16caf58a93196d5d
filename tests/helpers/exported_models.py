"""Tiny exports of every task. The models are untrained."""

import dataclasses

import keras
import numpy as np

from karpa_tf.configs import masked_image_presets, residual_gan
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.dcgan import TINY
from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.data.text.vocabulary import SEP, SPECIAL, Vocabulary
from karpa_tf.export import conditional_generator
from karpa_tf.export.classifier import make_classifier_export
from karpa_tf.export.embedder import make_embedder_export
from karpa_tf.export.generator import make_generator_export
from karpa_tf.export.masked_image import make_masked_image_export
from karpa_tf.export.masked_lm import make_masked_lm_export
from karpa_tf.export.tagger import make_tagger_export
from karpa_tf.export.text_classifier import make_text_classifier_export
from karpa_tf.export.text_inputs import TextInputs
from karpa_tf.export.text_regressor import make_text_regressor_export
from karpa_tf.export.versions import write
from karpa_tf.models import bert
from karpa_tf.models import residual_gan as residual_networks
from karpa_tf.models.bert import make_encoder, make_masked_lm, make_tagger, make_text_classifier, make_text_regressor
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_generator
from karpa_tf.models.masked_autoencoder import make_reconstructor
from karpa_tf.models.vit import make_vit_encoder
from karpa_tf.training.ngrams import NgramModel

CLASSES = ("Äpfel & Birnen", "cat", "日本")
IMAGE_SIZE = 12
"""Of the image classifier; the images have three channels."""

TEXT_CLASSES = ("bad", "good")
TYPES = ("LOC", "日本")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = Vocabulary((*SPECIAL, "the", "list", *LETTERS, *(f"##{x}" for x in LETTERS), ".", "!", "[", "]", "中"))
BERT = BERTConfig(max_sequence_length=16, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16, num_segments=0)
TEXTS = ("the list of a cat.", "a good cat! the list")
PAIRS = (("the list of a cat.", "a cat"), ("a list", "a good cat! the list of the cats"))


def randomize(model, scale=0.5):
    """Changes all weights as training would; the outputs of a new network hardly depend on its inputs."""
    for index, weight in enumerate(model.weights):
        step = scale * keras.random.normal(weight.shape, seed=index)
        weight.assign(weight + (abs(step) if "variance" in weight.path else step))
    return model


def make_tiny_classifier(seed=0):
    """Returns the `Export` of an image classifier."""
    keras.utils.set_random_seed(seed)
    config = ResNetConfig(filters=(4, 8), blocks=(1, 1))
    images = np.random.default_rng(seed + 1).integers(0, 256, (3, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    model = randomize(make_classifier(config, (IMAGE_SIZE, IMAGE_SIZE, 3), len(CLASSES)))
    return make_classifier_export(model, CLASSES, images, task="image_classification")


def make_tiny_generator(seed=0):
    """Returns the `Export` of a generator of 16x16 grayscale images, with 8 latent dimensions."""
    keras.utils.set_random_seed(seed)
    generator = make_generator(TINY)
    # With initial moving averages all images would be the same gray.
    for _ in range(50):
        generator(np.random.default_rng(seed).normal(size=(32, 8)).astype(np.float32), training=True)
    return make_generator_export(generator, task="image_generation")


def make_tiny_conditional_generator(seed=0):
    """Returns the `Export` of a conditional generator with spectral normalization and attention, 16x16 grayscale."""
    keras.utils.set_random_seed(seed)
    generator = randomize(residual_networks.make_generator(residual_gan.TINY, len(CLASSES)), 0.3)
    return conditional_generator.make_export(generator, CLASSES, task="conditional_image_generation")


def make_tiny_masked_autoencoder(seed=0):
    """Returns the `Export` of a masked autoencoder of 12x12 images in color."""
    keras.utils.set_random_seed(seed)
    config, shape = masked_image_presets.PRESETS["smoke"], (IMAGE_SIZE, IMAGE_SIZE, 3)
    encoder = randomize(make_vit_encoder(config.model, shape), 0.1)
    reconstructor = randomize(make_reconstructor(config.model, config.decoder, shape), 0.1)
    images = np.random.default_rng(seed + 1).integers(0, 256, (3, *shape), np.uint8)
    patch_size = config.model.patch_size
    return make_masked_image_export(encoder, reconstructor, patch_size, True, images, task="masked_image_modeling")


def make_tiny_masked_lm(seed=0, texts=TEXTS):
    """Returns the `Export` of a masked language model."""
    keras.utils.set_random_seed(seed)
    model = randomize(make_masked_lm(BERT, make_encoder(BERT, len(VOCABULARY))))
    return make_masked_lm_export(model, VOCABULARY, BERT.max_sequence_length, texts, task="masked_lm")


def make_tiny_text_classifier(seed=0):
    """Returns the `Export` of a text classifier."""
    keras.utils.set_random_seed(seed)
    network = randomize(make_text_classifier(BERT, len(VOCABULARY), len(TEXT_CLASSES), window_length=8))
    rng, count = np.random.default_rng(seed), len(VOCABULARY) + 99
    table, squares = rng.normal(size=(count, len(TEXT_CLASSES))), rng.uniform(1, 100, (count, 1))
    weights = (np.float32(x) for x in (0.5, table, squares, np.zeros(len(TEXT_CLASSES))))
    ngrams = NgramModel(len(VOCABULARY), *weights)
    inputs = TextInputs(VOCABULARY, BERT.max_sequence_length)
    return make_text_classifier_export(ngrams.add_to(network), inputs, TEXT_CLASSES, TEXTS, task="text_classification")


def make_tiny_pair_classifier(seed=0):
    """Returns the `Export` of a classifier of pairs of texts, with embeddings of segments."""
    keras.utils.set_random_seed(seed)
    config = dataclasses.replace(BERT, num_segments=2)
    model = make_text_classifier(config, len(VOCABULARY), len(TEXT_CLASSES), separator_id=SPECIAL.index(SEP))
    inputs = TextInputs(VOCABULARY, BERT.max_sequence_length, has_pairs=True)
    return make_text_classifier_export(randomize(model), inputs, TEXT_CLASSES, PAIRS, task="pair_classification")


def make_tiny_text_regressor(seed=0):
    """Returns the `Export` of a model that predicts a number for a text."""
    keras.utils.set_random_seed(seed)
    model = randomize(make_text_regressor(BERT, len(VOCABULARY), 3.0, 2.0, window_length=8))
    inputs = TextInputs(VOCABULARY, BERT.max_sequence_length)
    return make_text_regressor_export(model, inputs, TEXTS, task="text_regression")


def make_tiny_tagger(seed=0):
    """Returns the `Export` of a tagger of two types of spans."""
    keras.utils.set_random_seed(seed)
    model = randomize(make_tagger(BERT, len(VOCABULARY), 1 + 2 * len(TYPES), window_length=8))
    return make_tagger_export(model, TextInputs(VOCABULARY, 40), TYPES, TEXTS, task="token_classification")


def make_tiny_embedder(seed=0):
    """Returns the `Export` of an embedder of texts."""
    keras.utils.set_random_seed(seed)
    model = randomize(bert.make_embedder(BERT, len(VOCABULARY), window_length=8))
    return make_embedder_export(model, TextInputs(VOCABULARY, 40), TEXTS, task="text_embedding")


EXPORTS = {
    "image_classification": make_tiny_classifier,
    "image_generation": make_tiny_generator,
    "conditional_image_generation": make_tiny_conditional_generator,
    "masked_image_modeling": make_tiny_masked_autoencoder,
    "masked_lm": make_tiny_masked_lm,
    "text_classification": make_tiny_text_classifier,
    "pair_classification": make_tiny_pair_classifier,
    "text_regression": make_tiny_text_regressor,
    "token_classification": make_tiny_tagger,
    "text_embedding": make_tiny_embedder,
}
"""Functions that return an `Export`, by its task."""


def export_tiny_classifier(base, seed=0):
    """Writes a version to the model folder `base` and returns its folder."""
    return write(base, make_tiny_classifier(seed))


def export_tiny_generator(base, seed=0):
    """Writes a version to the model folder `base` and returns its folder."""
    return write(base, make_tiny_generator(seed))


def export_tiny_masked_lm(base, seed=0):
    """Writes a version to the model folder `base` and returns its folder."""
    return write(base, make_tiny_masked_lm(seed))


def export_tiny_text_classifier(base, seed=0):
    """Writes a version to the model folder `base` and returns its folder."""
    return write(base, make_tiny_text_classifier(seed))
