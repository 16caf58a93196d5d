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


WORDS = {0: 1, 10: 3, 20: 5, 30: 7, 40: 8, 50: 10, 60: 13, 70: 19, 80: 26, 90: 32, 95: 37, 99: 46, 100: 90}
"""Percentiles of the number of words in the training sentences of CoNLL-2003 (Tjong Kim Sang and De Meulder), of which
the longest has 113; 90 are about as many as 128 tokens hold."""

TAGS = 9
"""O, and B and I of four types, as in CoNLL-2003."""

SENTENCES = 8192
"""Number of sentences, of which Transformers' sampler, too, sorts 50 batches at a time."""


def make_tagged_rows(vocabulary_size):
    """Returns `TaggedRows` of sentences about as long as those of CoNLL-2003, every fourth word of two tokens."""
    from karpa_tf.data.text.tagged_batches import TaggedRows
    from karpa_tf.data.text.vocabulary import CLS, SEP, SPECIAL

    cls_id, sep_id = (SPECIAL.index(name) for name in (CLS, SEP))
    rng, rows = np.random.default_rng(0), TaggedRows([], [], [], [], [])
    counts = np.interp(rng.uniform(0, 100, SENTENCES), [*WORDS], [*WORDS.values()]).round().astype(int)
    for count in counts:
        tokens = 1 + (rng.uniform(size=count) < 0.25)
        ids = rng.integers(len(SPECIAL), vocabulary_size, tokens.sum())
        rows.token_ids.append(np.array([cls_id, *ids, sep_id], np.int32))
        rows.positions.append((1 + np.cumsum(tokens) - tokens).astype(np.int32))
        rows.tags.append(rng.integers(0, TAGS, count).astype(np.int32))
    return rows


def make_masking(length, vocabulary_size):
    """Returns the `Masking` of 15 % of the tokens in rows of `length` tokens."""
    from karpa_tf.data.text import masking
    from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary

    words = tuple(f"word {number}" for number in range(vocabulary_size - len(SPECIAL)))
    return masking.make_masking(Vocabulary((*SPECIAL, *words)), length)
