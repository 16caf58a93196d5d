"""Texts that belong together, such as questions and answers, in train, validation and test splits."""

import dataclasses
from pathlib import Path

import numpy as np

from karpa_tf.data.splits import hold_out_missing
from karpa_tf.data.text.corpus import find_corpus
from karpa_tf.data.text.labeled import TextSet, load_text_splits
from karpa_tf.data.text.tables import SUFFIXES, Columns
from karpa_tf.errors import UserError


def load_related_splits(config):
    """Returns a dict of `TextSet` without labels: `train`, and `validation` and `test` unless they are empty.

    With --pair-field every set has pairs. Otherwise `train` has texts alone, and each of the others the halves of its
    texts as pairs, which are known to belong together; texts of one letter are left out there.

    Args:
        config: an `EmbedderConfig`.

    Raises:
        UserError: the data does not exist, cannot be read, or has fewer than two texts.
    """
    fractions = config.held_out_for_validation, config.test_fraction
    if config.pair_field is not None:
        columns = Columns(config.text_field, pair=config.pair_field, encoding=config.encoding, has_labels=False)
        splits = load_text_splits(config.data, columns, *fractions)
    else:
        texts = load_texts(config)
        train = TextSet(config.data, texts, np.zeros(len(texts), np.int32))
        splits = hold_out_missing({"train": train}, *fractions)
    if len(splits["train"]) < 2:
        raise UserError(f"--data {config.data} has {len(splits['train'])} text to train on; expected at least two.")
    if config.pair_field is not None and len({*splits["train"].pairs}) < 2:
        raise UserError(f"--data {config.data} has the same text in --pair-field {config.pair_field} everywhere.")
    if config.pair_field is not None:
        return splits
    halves = {name: halve(split) for name, split in splits.items() if name != "train"}
    return {"train": splits["train"]} | {name: split for name, split in halves.items() if len(split)}


def load_texts(config):
    """Returns the texts of a data set, each once, a tuple of strings.

    Args:
        config: any with `data`, a table or what `find_corpus` takes, `text_field`, `documents` and `encoding`.

    Raises:
        UserError: the data does not exist, cannot be read, or has no texts.
    """
    path = Path(config.data).expanduser()
    if path.suffix.lower() in SUFFIXES and path.is_file():
        columns = Columns(config.text_field, encoding=config.encoding, has_labels=False)
        texts = load_text_splits(path, columns, 0, 0)["train"].texts
    else:
        field = config.text_field or "text"
        texts = tuple(find_corpus(config.data, field, config.encoding, documents=config.documents).read())
    different = tuple(dict.fromkeys(texts))
    if len(different) < len(texts):
        print(f"{len(texts) - len(different):,} copies of texts are left out.")
    return different


def halve(split):
    """Returns the `TextSet` whose pairs are the halves of the texts of another, cut between the words in the middle.

    A text without spaces, as in Chinese, is cut between its letters.
    """
    halves = [_cut(text) for text in split.texts if len(text.strip()) > 1]
    texts, pairs = zip(*halves, strict=True) if halves else ((), ())
    return dataclasses.replace(split, texts=texts, pairs=pairs, labels=np.zeros(len(texts), np.int32), skipped=())


def _cut(text):
    words, joint = text.split(), " "
    if len(words) < 2:
        words, joint = text.strip(), ""
    middle = len(words) // 2
    return joint.join(words[:middle]), joint.join(words[middle:])


def number_equal(texts):
    """Returns a number for each text, int32 (n,), the same for equal texts, from 0 on."""
    numbers = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int32)
