"""Logistic regression on n-grams, fitted after a text classifier was trained, and averaged with it."""

import dataclasses

import keras
import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array, diags_array
from scipy.special import log_softmax

from karpa_tf.data.splits import sample
from karpa_tf.layers.ngrams import NgramEnsemble, hash_pairs
from karpa_tf.models.logistic import fit_text_classes
from karpa_tf.system.files import replace

PAIR_BUCKETS = 2**17
"""Number of hash values of pairs of tokens."""

MAX_CLASSES = 100
"""With more classes the table of weights would be large, and reading it slow."""

MAX_TOKENS, MAX_TOKEN_CLASSES = 5_000_000, 100_000_000
"""Maximum number of tokens to fit on, and of tokens times classes."""

USUAL_FACTORS = np.array([0.25, 0.75])
"""What is found for most data as the factors of the logits of networks and of n-grams."""

EPSILON = 1e-7
"""Smallest probability, and smallest sum of squares, that is told from 0; that of the layer."""


@dataclasses.dataclass(frozen=True)
class NgramModel:
    """The weights of `layers.ngrams.NgramEnsemble`."""

    vocabulary_size: int
    """Number of tokens in the vocabulary."""

    scale: np.ndarray
    """Factor of the network's logits, float32 ()."""

    table: np.ndarray
    """W, float32 (ngrams, classes)."""

    squares: np.ndarray
    """v, float32 (ngrams, 1)."""

    bias: np.ndarray
    """float32 (classes,)."""

    def compute_logits(self, rows):
        """Returns the logits of n-grams alone, float64 (texts, classes), of a list of int32 (length,), token ids."""
        counts = count_ngrams(rows, self.vocabulary_size, len(self.table) - self.vocabulary_size)
        sums, squares = counts @ self.table.astype(np.float64), counts @ self.squares.astype(np.float64)
        return sums / np.sqrt(np.maximum(squares, EPSILON)) + self.bias

    def weigh(self, probabilities, rows, labels, class_weights=None):
        """Returns the model with the factors of both kinds of logits that minimize the log loss of some texts.

        The texts must not have been used for training ("stacking", Wolpert 1992). Two factors have little to overfit
        to; a normal distribution around `USUAL_FACTORS` decides where there are few texts.

        Args:
            probabilities: of the network, float (n, classes).
            rows: list of n int32 (length,), token ids.
            labels: int (n,).
            class_weights: float (classes,), of the loss; None weighs all alike.

        Returns:
            An `NgramModel`; and the factors, float64 (2,), of the network and of the n-grams.
        """
        network, ours = np.log(np.maximum(probabilities, EPSILON)), self.compute_logits(rows)
        weights = np.ones(len(labels)) if class_weights is None else class_weights[labels]

        def compute_loss(factors):
            log_likelihood = log_softmax(factors[0] * network + factors[1] * ours, axis=1)
            log_likelihood = log_likelihood[np.arange(len(labels)), labels] @ weights
            return (np.square(factors - USUAL_FACTORS).sum() / 2 - log_likelihood) / len(labels)

        factors = minimize(compute_loss, USUAL_FACTORS, bounds=[(0, None)] * 2).x
        table, bias = (np.float32(factors[1] * x) for x in (self.table, self.bias))
        return dataclasses.replace(self, scale=np.float32(factors[0]), table=table, bias=bias), factors

    def add_to(self, network):
        """Returns a model of tokens to logits: those of a network, multiplied, and of n-grams.

        Args:
            network: model from `make_text_classifier`.
        """
        layer = NgramEnsemble(self.vocabulary_size, len(self.table) - self.vocabulary_size, name="ngrams")
        model = keras.Model(network.input, layer(network.output, **network.input), name=network.name)
        layer.set_weights([self.scale, self.table, self.squares, self.bias])
        return model

    def save(self, path):
        """Writes an .npz file."""
        temporary = path.with_name(f".{path.name}.writing")
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **dataclasses.asdict(self))
        replace(temporary, path)


def load(path):
    """Returns the `NgramModel` in a file."""
    with np.load(path) as arrays:
        return NgramModel(**dict(arrays) | {"vocabulary_size": int(arrays["vocabulary_size"])})


def fit(rows, train, vocabulary_size, config):
    """Returns the `NgramModel` of logistic regression on TF-IDF of tokens and pairs of neighbors.

    One class against the rest, as for the baselines. The frequency of an n-gram in a text is not made sublinear.

    Args:
        rows: list of n int32 (length,), token ids.
        train: `TextSet` of n texts; at least two of its classes have texts, the others get a small probability.
        vocabulary_size: number of tokens in the vocabulary.
        config: a `LabeledConfig`; `class_weights` is used, and `seed`, for the sample of texts that is fitted if there
            are more than `MAX_TOKENS`.
    """
    classes = len(train.classes)
    maximum = min(MAX_TOKENS, MAX_TOKEN_CLASSES // classes) // max(1, sum(map(len, rows)) // len(rows))
    indices = sample(train, maximum, config.seed)
    counts = count_ngrams([rows[index] for index in indices], vocabulary_size, PAIR_BUCKETS)
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.where(frequency, np.log((1 + len(indices)) / (1 + frequency)) + 1, 0)
    features = diags_array(1 / np.sqrt(counts @ np.square(idf))) @ counts @ diags_array(idf)
    model = fit_text_classes(features.tocsr(), train.labels[indices], config.class_weights, config.seed)
    table = np.zeros((counts.shape[1], classes), np.float32)
    bias = np.full(classes, -np.log(len(indices) + 1), np.float32)
    if len(model.classes_) == 2:  # There is one estimator, of the second class.
        bias[model.classes_[0]] = 0
    for label, estimator in zip(model.classes_[-len(model.estimators_) :], model.estimators_, strict=True):
        table[:, label], bias[label] = estimator.coef_[0] * idf, estimator.intercept_[0]
    return NgramModel(vocabulary_size, np.float32(1), table, np.float32(np.square(idf))[:, None], bias)


def count_ngrams(rows, vocabulary_size, pair_buckets):
    """Returns how often each n-gram occurs in each text, a sparse array, float64 (texts, ngrams).

    Args:
        rows: list of int32 (length,), token ids.
        vocabulary_size: number of tokens in the vocabulary.
        pair_buckets: number of hash values of pairs.
    """
    tokens, texts = np.concatenate(rows), np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])
    pairs = hash_pairs(tokens[:-1], tokens[1:], vocabulary_size, pair_buckets)
    is_pair = texts[:-1] == texts[1:]
    columns = np.concatenate([tokens, pairs[is_pair]])
    index = np.concatenate([texts, texts[1:][is_pair]])
    return csr_array((np.ones(len(columns)), (index, columns)), shape=(len(rows), vocabulary_size + pair_buckets))
