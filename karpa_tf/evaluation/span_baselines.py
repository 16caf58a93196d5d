"""Simple taggers, trained in seconds, that a network is compared with."""

import collections
import itertools
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import SGDClassifier
from threadpoolctl import threadpool_limits

from karpa_tf.data.text.tags import count_tags
from karpa_tf.evaluation.tagging import decode
from karpa_tf.system.console import track

LIST = "spans of the training texts, looked up"
LINEAR = "logistic regression on words and their neighbors"

MAX_WORDS, MAX_WORD_TAGS = 400_000, 20_000_000
"""Maximum number of words to train on, and of words times tags."""

MAX_SPAN_WORDS = 8
"""Longer spans are not looked up."""

EPOCHS = 5


def predict_baselines(train, split, seed):
    """Returns the spans that each baseline predicts: dict from its name to n lists of (start, end, type) and seconds.

    Args:
        train: pair of a `TaggedSet` and its `TaggedRows` to train on; of more than `MAX_WORDS`, the first texts.
        split: pair of the same to predict.
        seed: int.
    """
    recipes = {LIST: _look_up, LINEAR: _predict_linear}
    results = {}
    for name in track(recipes, "Baseline", total=len(recipes)):
        start = time.perf_counter()
        with threadpool_limits(1, "blas"):
            results[name] = recipes[name](train, split, seed), time.perf_counter() - start
    return results


def _look_up(train, split, seed):
    """Marks the longest sequences of words that are spans of one type in the training texts.

    It is the baseline of Tjong Kim Sang and De Meulder (2003), section 3, but for the last word, "unambiguous": of
    several types the most frequent one counts.
    """
    types = collections.defaultdict(collections.Counter)
    tagged_set, rows = train
    for index in range(_count_texts(rows, MAX_WORDS)):
        starts, ends = rows.starts[index], rows.ends[index]
        words = _list_words(tagged_set.texts[index], starts, ends)
        for span in tagged_set.spans[index]:
            first, last = np.searchsorted(starts, span.start), np.searchsorted(ends, span.end)
            if last < len(ends):
                types[tuple(words[first : last + 1])][span.type] += 1
    best = {words: counts.most_common(1)[0][0] for words, counts in types.items() if len(words) <= MAX_SPAN_WORDS}
    predicted = []
    for text, starts, ends in zip(split[0].texts, split[1].starts, split[1].ends, strict=True):
        words, spans, index = _list_words(text, starts, ends), [], 0
        while index < len(words):
            sizes = range(min(MAX_SPAN_WORDS, len(words) - index), 0, -1)
            size = next((size for size in sizes if tuple(words[index : index + size]) in best), 0)
            if size:
                name = best[tuple(words[index : index + size])]
                spans.append((int(starts[index]), int(ends[index + size - 1]), name))
            index += size or 1
        predicted.append(spans)
    return predicted


def _predict_linear(train, split, seed):
    """Predicts the tag of each word from its letters and those of the words beside it, and decodes them as a network's.

    The features are those that most taggers before neural networks had (Zhang and Johnson 2003, table 1).
    """
    tags = count_tags(len(train[0].classes))
    count = _count_texts(train[1], min(MAX_WORDS, MAX_WORD_TAGS // tags))
    targets = np.concatenate(train[1].tags[:count])
    hasher = FeatureHasher(2**20, input_type="string", dtype=np.float32)
    features = hasher.transform(_describe_words(*train, count))
    model = SGDClassifier("log_loss", alpha=1e-6, max_iter=EPOCHS, tol=None, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if len(np.unique(targets)) > 1:
            model.fit(features, targets)
    probabilities = np.full((sum(map(len, split[1].tags)), tags), 1e-6, np.float32)
    if hasattr(model, "classes_") and len(probabilities):
        probabilities[:, model.classes_] += model.predict_proba(hasher.transform(_describe_words(*split)))
    return decode(np.log(probabilities), split[1], train[0].classes)


def _count_texts(rows, maximum):
    """Returns how many of the first texts have at most `maximum` words together, at least 1."""
    return max(int(np.searchsorted(np.cumsum([len(row) for row in rows.tags]), maximum, "right")), 1)


def _list_words(text, starts, ends):
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _describe_words(tagged_set, rows, count=None):
    """Yields a list of features for every word of the first `count` texts."""
    for text, starts, ends in list(zip(tagged_set.texts, rows.starts, rows.ends, strict=True))[:count]:
        words = ["<s>", "<s>", *_list_words(text, starts, ends), "</s>", "</s>"]
        shapes = [_find_shape(word) for word in words]
        for index in range(2, len(words) - 2):
            word = words[index]
            features = [f"{offset}{words[index + offset].lower()}" for offset in (-2, -1, 0, 1, 2)]
            features += [f"s{offset}{shapes[index + offset]}" for offset in (-1, 0, 1)]
            features += [f"p{word[:size]}" for size in (2, 3, 4)] + [f"e{word[-size:]}" for size in (2, 3, 4)]
            yield [*features, f"w{word}", f"b{words[index - 1].lower()} {word.lower()}", f"f{index == 2}"]


def _find_shape(word):
    """Returns the kinds of letters of a word, each run of a kind once: "Xx" of Japan, "X" of EU, "d" of 1996."""
    kinds = (
        "X" if letter.isupper() else "x" if letter.isalpha() else "d" if letter.isdigit() else "." for letter in word
    )
    return "".join(kind for kind, _ in itertools.groupby(kinds))
