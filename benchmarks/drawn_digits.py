"""How well digits that a network drew can be read, by a network of another kind that has learned the real ones."""

import functools

import numpy as np

from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.loaders import load_images

LEARNED = 1400
"""Real digits that the reader learns; the other 397 are by other writers."""


def read(images):
    """Returns how surely digits are read, and how often each is seen.

    Args:
        images: uint8 (n, 16, 16, 1).

    Returns:
        The mean of the largest probability, a number in [0, 1], and the shares of the ten digits, float (10,).
    """
    probabilities = _reader().predict_proba(_flat(images))
    shares = np.bincount(probabilities.argmax(axis=1), minlength=10) / len(images)
    return float(probabilities.max(axis=1).mean()), shares


@functools.cache
def _reader():
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    images = _flat(load_images("digits", ImageFormat(16, 1)).images)
    labels = load_digits().target
    network = MLPClassifier((256,), max_iter=60, random_state=0).fit(images[:LEARNED], labels[:LEARNED])
    right = network.score(images[LEARNED:], labels[LEARNED:])
    if right < 0.9:
        raise RuntimeError(f"The reader reads {right:.1%} of real digits; expected at least 90 %.")
    return network


def _flat(images):
    return images.reshape(len(images), -1) / 127.5 - 1
