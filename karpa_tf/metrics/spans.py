"""Precision, recall and F1 of spans, such as named entities: a span counts if its ends and its type are right."""

import numpy as np


def count_spans(true, predicted):
    """Returns the numbers of right, of predicted and of true spans in every text, int (n, 3).

    Args:
        true: n sequences of (start, end, type), or of other tuples that are compared as a whole.
        predicted: the same of predicted spans.
    """
    pairs = [(set(spans), set(others)) for spans, others in zip(true, predicted, strict=True)]
    return np.array([(len(spans & others), len(others), len(spans)) for spans, others in pairs], int).reshape(-1, 3)


def compute_f1(counts):
    """Returns precision, recall and F1 of counts (3,), as floats; 0 where there is nothing to divide by."""
    right, predicted, true = (float(count) for count in counts)
    precision, recall = right / predicted if predicted else 0.0, right / true if true else 0.0
    return precision, recall, 2 * right / (predicted + true) if predicted + true else 0.0


def summarize_spans(true, predicted, classes):
    """Returns `precision`, `recall` and `f1` over all spans, `macro_f1`, and the same by type under `classes`, a dict.

    Args:
        true: n sequences of (start, end, type).
        predicted: the same of predicted spans.
        classes: names of the types.
    """
    names = ("precision", "recall", "f1")
    by_class = {}
    for name in classes:
        own = ([[span for span in spans if span[2] == name] for spans in texts] for texts in (true, predicted))
        counts = count_spans(*own).sum(axis=0)
        by_class[name] = dict(zip(names, compute_f1(counts), strict=True)) | {"count": int(counts[2])}
    return {
        **dict(zip(names, compute_f1(count_spans(true, predicted).sum(axis=0)), strict=True)),
        "macro_f1": float(np.mean([values["f1"] for values in by_class.values()])),
        "classes": by_class,
    }
