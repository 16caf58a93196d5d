"""Random images and tokens as training data; their content does not affect the time of a step."""

import numpy as np

from karpa_tf.data.images.image_set import ImageSet

COUNT = 2048
"""Number of images, or of rows of tokens."""


def make_images(image_size, channels):
    """Returns images, uint8 (COUNT, image_size, image_size, channels)."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, image_size, image_size, channels), np.uint8)


def make_image_set(image_size, num_classes):
    """Returns a labeled `ImageSet` of RGB images."""
    labels = np.random.default_rng(1).integers(0, num_classes, COUNT).astype(np.int32)
    names = tuple(f"class {number}" for number in range(num_classes))
    return ImageSet("synthetic", make_images(image_size, 3), "0", labels=labels, classes=names)


def make_tokens(length, vocabulary_size):
    """Returns `Tokens` for COUNT rows of `length` tokens with [CLS] and [SEP]."""
    from karpa_tf.data.text.token_cache import Tokens
    from karpa_tf.data.text.vocabulary import SPECIAL

    ids = np.random.default_rng(0).integers(len(SPECIAL), vocabulary_size, COUNT * (length - 2)).astype(np.uint16)
    return Tokens(ids, COUNT, np.bincount(ids, minlength=vocabulary_size), "0")


def make_masking(length, vocabulary_size):
    """Returns the `Masking` of 15 % of the tokens in rows of `length` tokens."""
    from karpa_tf.data.text import masking
    from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary

    words = tuple(f"word {number}" for number in range(vocabulary_size - len(SPECIAL)))
    return masking.make_masking(Vocabulary((*SPECIAL, *words)), length)
