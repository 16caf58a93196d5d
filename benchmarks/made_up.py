"""Random images and tokens to train on: what is in them makes no step faster or slower."""

import numpy as np

from karpa_tf.data.images.image_set import ImageSet

COUNT = 2048
"""Images, or rows of tokens."""


def images(side, channels):
    """Returns images, uint8 (n, side, side, channels)."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, side, side, channels), np.uint8)


def image_set(side, classes):
    """Returns a labeled `ImageSet` of images in three channels."""
    labels = np.random.default_rng(1).integers(0, classes, COUNT).astype(np.int32)
    names = tuple(f"class {number}" for number in range(classes))
    return ImageSet("made up", images(side, 3), "0", labels=labels, classes=names)


def tokens(length, words):
    """Returns `Tokens` of a vocabulary of so many words, enough for all rows."""
    from karpa_tf.data.text.token_cache import Tokens
    from karpa_tf.data.text.vocabulary import SPECIAL

    ids = np.random.default_rng(0).integers(len(SPECIAL), words, COUNT * (length - 2)).astype(np.uint16)
    return Tokens(ids, COUNT, np.bincount(ids, minlength=words), "0")


def masking(length, words):
    """Returns the `Masking` of 15 % of the tokens of a vocabulary of so many words."""
    from karpa_tf.data.text.masking import make_masking
    from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary

    names = tuple(f"word {number}" for number in range(words - len(SPECIAL)))
    return make_masking(Vocabulary((*SPECIAL, *names)), length)
