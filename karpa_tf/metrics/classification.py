"""Metrics of classifiers from labels and probabilities, beside those of `sklearn.metrics`."""

import numpy as np
from sklearn import metrics


def summarize(labels, probabilities):
    """Returns the metrics of a classifier as a dict of floats.

    Keys: `accuracy`; `top_2_accuracy`, `top_3_accuracy` and `top_5_accuracy` where there are more classes; `log_loss`
    (nats; probabilities are clipped at float64's epsilon); `ece`, as in `calibration`; `macro_precision`,
    `macro_recall` and `macro_f1`, means over the classes that have examples.

    Args:
        labels: int (n,).
        probabilities: float (n, classes).
    """
    indices = np.arange(probabilities.shape[1])
    values = {"accuracy": metrics.accuracy_score(labels, probabilities.argmax(1))}
    for k in (2, 3, 5):
        if k < len(indices):
            values[f"top_{k}_accuracy"] = metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=indices)
    values["log_loss"] = compute_log_loss(labels, probabilities)
    values["ece"] = calibration(labels, probabilities)["ece"]
    per_class = summarize_classes(labels, probabilities)
    has_examples = per_class["count"] > 0
    for name in ("precision", "recall", "f1"):
        values[f"macro_{name}"] = per_class[name][has_examples].mean()
    return {name: float(value) for name, value in values.items()}


def summarize_classes(labels, probabilities):
    """Returns `precision`, `recall`, `f1`, float64 (classes,), and `count`, int64 (classes,); 0 where undefined."""
    columns = metrics.precision_recall_fscore_support(
        labels, probabilities.argmax(1), labels=np.arange(probabilities.shape[1]), zero_division=0
    )
    return dict(zip(("precision", "recall", "f1", "count"), columns, strict=True))


def compute_log_loss(labels, probabilities):
    """Returns the mean of -log p(label) in nats, with probabilities clipped at float64's epsilon.

    `sklearn.metrics.log_loss` is the same, but warns about probabilities in float32 that do not sum to one.
    """
    selected = probabilities[np.arange(len(labels)), labels].astype(float)
    return float(-np.log(np.maximum(selected, np.finfo(float).eps)).mean())


def calibration(labels, probabilities, bins=15):
    """Returns the calibration of the largest probabilities, in bins of equal width (Guo et al. 2017, section 2).

    Returns:
        dict: `ece`, the expected calibration error (eq. 3), and for each bin, (lower, upper], `confidence` and
        `accuracy`, float64 (bins,), nan if it is empty, and `count`, int64 (bins,).
    """
    confidence = probabilities.max(1).astype(float)
    is_correct = probabilities.argmax(1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, confidence, bins) / count
        mean_accuracy = np.bincount(index, is_correct, bins) / count
    gaps = np.abs(mean_accuracy - mean_confidence)[count > 0]
    return {
        "ece": float((count[count > 0] * gaps).sum() / count.sum()),
        "confidence": mean_confidence,
        "accuracy": mean_accuracy,
        "count": count,
    }
