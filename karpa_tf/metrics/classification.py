"""Figures of classifiers and language models; NumPy only."""

import numpy as np


def accuracy(labels, probabilities):
    """Returns the share of examples whose largest probability is that of their label.

    Args:
        labels: int (n,).
        probabilities: float (n, classes).
    """
    return float(np.mean(probabilities.argmax(1) == labels))


def top_k_accuracy(labels, probabilities, k):
    """Returns the share of examples whose label is among the k largest probabilities; of equal ones the later classes
    count as larger, as in scikit-learn.
    """
    order = np.argsort(probabilities, axis=1, kind="mergesort")[:, ::-1][:, :k]
    return float(np.mean((order == np.asarray(labels)[:, None]).any(1)))


def confusion_matrix(labels, predictions, classes):
    """Returns int64 (classes, classes): how many examples of the row's class were taken for the column's."""
    places = np.asarray(labels, np.int64) * classes + predictions
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(confusion):
    """Returns precision, recall and F1 of each class, each float64 (classes,); 0 where the denominator is 0.

    Args:
        confusion: int (classes, classes), rows are labels.
    """
    right = np.diag(confusion).astype(float)
    predicted, actual = confusion.sum(0), confusion.sum(1)
    return _share(right, predicted), _share(right, actual), _share(2 * right, predicted + actual)


def calibration(labels, probabilities, bins=15):
    """Returns the reliability of the largest probabilities, in bins of equal width (Guo et al. 2017, section 2).

    Returns:
        dict: `ece`, the expected calibration error (eq. 3), and for each bin, (lower, upper], `confidence` and
        `accuracy`, float64 (bins,), nan where it is empty, and `count`, int64 (bins,).
    """
    confidence = probabilities.max(1).astype(float)
    right = probabilities.argmax(1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, confidence, bins) / count
        mean_accuracy = np.bincount(place, right, bins) / count
    gaps = np.abs(mean_accuracy - mean_confidence)[count > 0]
    return {
        "ece": float((count[count > 0] * gaps).sum() / count.sum()),
        "confidence": mean_confidence,
        "accuracy": mean_accuracy,
        "count": count,
    }


def log_loss(labels, probabilities):
    """Returns the mean of -log p(label) in nats; probabilities are taken as at least float64's epsilon."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(float)
    return float(-np.log(np.maximum(chosen, np.finfo(float).eps)).mean())


def _share(part, whole):
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
