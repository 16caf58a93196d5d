"""Scores generated digits with a classifier trained on real ones."""

import functools

import numpy as np

from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.loaders import load_images

TRAIN_COUNT = 1400
"""Number of real digits to train on; the other 397 are by other writers."""


def score_digits(images):
    """Returns how confident the classifier is in images of digits, and how often it predicts each digit.

    Args:
        images: uint8 (batch, 16, 16, 1).

    Returns:
        The mean top probability, in [0, 1], and the fractions of the ten predicted digits, float64 (10,).
    """
    probabilities = _trained_classifier().predict_proba(_flatten(images))
    fractions = np.bincount(probabilities.argmax(axis=1), minlength=10) / len(images)
    return float(probabilities.max(axis=1).mean()), fractions


@functools.cache
def _trained_classifier():
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    images = _flatten(load_images("digits", ImageFormat(16, 1)).images)
    labels = load_digits().target
    classifier = MLPClassifier((256,), max_iter=60, random_state=0).fit(images[:TRAIN_COUNT], labels[:TRAIN_COUNT])
    accuracy = classifier.score(images[TRAIN_COUNT:], labels[TRAIN_COUNT:])
    if accuracy < 0.9:
        raise RuntimeError(f"The accuracy on real held-out digits is {accuracy:.1%}; expected at least 90 %.")
    return classifier


def _flatten(images):
    return images.reshape(len(images), -1) / 127.5 - 1
