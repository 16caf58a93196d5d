"""Simple classifiers, trained in seconds, that a network is compared with."""

import functools
import time

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from karpa_tf.data.splits import sample
from karpa_tf.data.text.word_search import TERM
from karpa_tf.evaluation.results import describe_gain, describe_parts
from karpa_tf.metrics.classification import compute_log_loss
from karpa_tf.models.logistic import fit_quietly, fit_text_classes, to_class_weight
from karpa_tf.system.console import track

MAJORITY = "most frequent class"
IMAGES = "logistic regression on colors and pixels"
TEXTS = "TF-IDF with logistic regression"

MAX_SIZE = 8
"""Height and width that images are shrunken to, in pixels."""

MAX_IMAGES, MAX_IMAGE_CLASSES = 20_000, 2_000_000
"""Maximum number of training images, and of training images times classes."""

MAX_CHARACTERS, MAX_CHARACTER_CLASSES = 10_000_000, 200_000_000
"""Maximum number of characters to train on, and of characters times classes."""

MAX_TERMS, MAX_TERM_CLASSES = 200_000, 20_000_000
"""Maximum number of different words and pairs, and of those times classes."""

CHUNK_SIZE = 1000
"""Number of images in memory at a time."""


def measure_image_baselines(train, split, config):
    """Returns a list of dicts, one per baseline: `name`, `accuracy`, `log_loss` (nats), `seconds` and `is_correct`.

    `is_correct`, bool (n,), is whether each of the n examples of `split` is classified correctly.

    Args:
        train: labeled `ImageSet` to train on; of more than `MAX_IMAGES`, a random sample.
        split: labeled `ImageSet` of the same classes to evaluate.
        config: a `LabeledConfig`; its `seed` and `class_weights` are used.
    """
    predict = functools.partial(_predict_images, train, split, config.seed, config.class_weights)
    return _measure(train, split, IMAGES, predict)


def probe_features(train, split, seed, features):
    """Returns how well logistic regression does on features of images, which is how well they tell classes apart.

    Args:
        train: labeled `ImageSet` to train on; of more than `MAX_IMAGES`, a random sample.
        split: labeled `ImageSet` of the same classes to evaluate.
        seed: of the sample.
        features: dict from names to functions of images and indices, such as `compute_features`.

    Returns:
        A list of dicts of `name`, `probe_accuracy` and `seconds`.
    """
    figures = [
        _score(name, functools.partial(_predict_images, train, split, seed, "none", compute), split.labels)
        for name, compute in track(features.items(), "Probes", total=len(features))
    ]
    return [{"name": row["name"], "probe_accuracy": row["accuracy"], "seconds": row["seconds"]} for row in figures]


def measure_text_baselines(train, split, config):
    """As `measure_image_baselines`, of two `TextSet`; of more than `MAX_CHARACTERS`, a random sample is trained on."""
    return _measure(train, split, TEXTS, lambda: _predict_texts(train, split, config))


def print_comparison(report):
    """Prints the accuracy of the baselines of a report, if it has any, and whether the network is better."""
    baselines = report.get("baselines", [])
    lines = [f"{'':10} {row['accuracy']:7.2%} by {row['name']} ({row['seconds']:.1f} s)" for row in baselines]
    best = max(baselines, key=lambda row: row["accuracy"], default=None)
    if best and report["accuracy"] <= best["accuracy"]:
        lines.append(
            f"The network is not better than its baseline, {best['name']}: train it for more epochs, start from "
            "other weights (--init), or use the baseline instead."
        )
    if best:
        lines += [describe_gain(best, report["count"]), *describe_parts(report, best)]
    print(*lines, sep="\n", end="\n" if lines else "")


def _measure(train, split, name, predict):
    """Returns the figures of the most frequent class and, if there are two classes to train on, of `predict`."""
    counts = np.bincount(train.labels, minlength=len(train.classes))
    prior = (counts + 1) / (counts.sum() + len(counts))
    recipes = {MAJORITY: lambda: np.tile(prior, (len(split.labels), 1))}
    if np.count_nonzero(counts) > 1:
        recipes[name] = predict
    return [_score(name, recipes[name], split.labels) for name in track(recipes, "Baseline", total=len(recipes))]


def _score(name, predict, labels):
    start = time.perf_counter()
    # With several threads BLAS is slower here: the products are small, and other work may use the cores.
    with threadpool_limits(1, "blas"):
        probabilities = predict()
    seconds = time.perf_counter() - start
    is_correct = probabilities.argmax(1) == labels
    return {
        "name": name,
        "accuracy": float(is_correct.mean()),
        "log_loss": compute_log_loss(labels, probabilities),
        "seconds": seconds,
        "is_correct": is_correct,
    }


def _predict_images(train, split, seed, class_weights, compute=None):
    compute = compute or compute_features
    indices = sample(train, min(MAX_IMAGES, MAX_IMAGE_CLASSES // len(train.classes)), seed)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=100, class_weight=to_class_weight(class_weights))
    )
    fit_quietly(model, compute(train.images, indices), train.labels[indices])
    count = len(split.labels)
    chunks = (np.arange(start, min(start + CHUNK_SIZE, count)) for start in range(0, count, CHUNK_SIZE))
    return np.concatenate([_predict(model, compute(split.images, chunk), train) for chunk in chunks])


def compute_features(images, indices):
    """Returns shrunken pixels and the square root of the color histogram of some images, float32 (n, features).

    Args:
        images: uint8 (m, height, width, 1 or 3); an array, a memory map or an `ImageSubset`.
        indices: int (n,).
    """
    chunks = (images[indices[start : start + CHUNK_SIZE]] for start in range(0, len(indices), CHUNK_SIZE))
    return np.concatenate([np.hstack([_shrink(pixels), _count_colors(pixels)]) for pixels in chunks])


def _shrink(pixels):
    """Returns the means over a grid of at most `MAX_SIZE` x `MAX_SIZE` cells, float32 (n, cells * channels)."""
    pixels = pixels.astype(np.float32)
    for axis in (1, 2):
        edges = np.linspace(0, pixels.shape[axis], min(MAX_SIZE, pixels.shape[axis]) + 1).astype(int)
        shape = [-1 if other == axis else 1 for other in range(4)]
        pixels = np.add.reduceat(pixels, edges[:-1], axis) / np.diff(edges).astype(np.float32).reshape(shape)
    return pixels.reshape(len(pixels), -1)


def _count_colors(pixels):
    """Returns the square roots of the fractions of 64 colors, or of 16 gray levels, float32 (n, 64 or 16)."""
    bits, channels = (4, 1) if pixels.shape[-1] == 1 else (2, 3)
    levels = (pixels >> (8 - bits)).astype(np.int64)
    colors = sum(levels[..., channel] << (bits * channel) for channel in range(channels)).reshape(len(pixels), -1)
    bins = 1 << (bits * channels)
    counts = np.bincount((colors + np.arange(len(pixels))[:, None] * bins).ravel(), minlength=len(pixels) * bins)
    return np.sqrt(counts.reshape(-1, bins) / colors.shape[1]).astype(np.float32)


def _predict_texts(train, split, config):
    describe, indices = fit_features(train, config.seed)
    features = describe(train.select(indices))
    model = fit_text_classes(features, train.labels[indices], config.class_weights, config.seed)
    return _predict(model, describe(split), train)


def fit_features(train, seed=0):
    """Returns a function of a `TextSet` to sparse features (n, terms), TF-IDF of words and pairs of words.

    For pairs of texts they are those of both texts, their products, and their differences.

    Args:
        train: `TextSet` whose terms are counted; of more than `MAX_CHARACTERS`, a random sample.
        seed: of the sample.

    Returns:
        The function; and the indices of the sample, int (n,).
    """
    classes = max(len(train.classes), 1)
    mean_length = max(1, sum(map(len, (*train.texts, *train.pairs))) // len(train.texts))
    maximum = min(MAX_CHARACTERS, MAX_CHARACTER_CLASSES // classes) // mean_length
    indices = sample(train, maximum, seed)
    vectorizer = TfidfVectorizer(
        token_pattern=TERM,
        ngram_range=(1, 2),
        sublinear_tf=True,
        max_features=min(MAX_TERMS, MAX_TERM_CLASSES // classes),
        dtype=np.float32,
    )
    vectorizer.fit(texts[index] for texts in (train.texts, train.pairs) if texts for index in indices)

    def describe(text_set):
        first = vectorizer.transform(text_set.texts)
        if not text_set.pairs:
            return first
        second = vectorizer.transform(text_set.pairs)
        return sparse.hstack([first, second, first.multiply(second), abs(first - second)], "csr")

    return describe, indices


def _predict(model, examples, train):
    """Returns the probabilities of all classes, float64 (n, classes); 0 for those without training examples."""
    known = model.predict_proba(examples)
    probabilities = np.zeros((len(known), len(train.classes)))
    probabilities[:, model.classes_] = known
    return probabilities
