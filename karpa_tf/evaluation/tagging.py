"""Spans that a tagger finds in a data set, and the report on them."""

import json

import numpy as np
import tensorflow as tf

from karpa_tf.data.text.tags import find_spans
from karpa_tf.evaluation.marked_spans import SPANS_FILE
from karpa_tf.metrics.intervals import bootstrap_difference
from karpa_tf.metrics.spans import compute_f1, count_spans, summarize_spans
from karpa_tf.system.files import write_text

MAX_WORDS = 100_000
"""Number of words, with padding, that are decoded at a time; a longer text is decoded alone."""

MIN_TEXTS = 20
"""Number of texts from which on the interval of a difference is taken seriously."""

MAX_EXAMPLES = 24
"""Number of texts in `SPANS_FILE`."""


def compute_word_logits(model, batches):
    """Returns the logits of a tagger for every word, float32 (words, tags), in the order of the texts.

    Args:
        model: dict of token ids, mask and word positions to logits.
        batches: dataset of `make_evaluation_tagged_batches`.
    """
    score = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
    rows = [score(inputs).numpy()[weights.numpy() > 0] for inputs, _, weights in batches]
    return np.concatenate(rows)


def decode(logits, rows, classes):
    """Returns the spans of the most probable tags: for each text a list of (start, end, type).

    Args:
        logits: float32 (words, tags), of the words of all texts.
        rows: `TaggedRows` of the texts.
        classes: names of the types.
    """
    words = tf.RaggedTensorSpec((None, None), tf.int32, row_splits_dtype=tf.int64)
    logits_spec = tf.TensorSpec((None, None, logits.shape[1]), tf.float32)
    find, predicted = tf.function(find_spans, input_signature=[logits_spec, words, words]), []
    bounds = np.cumsum([0, *map(len, rows.tags)])
    flat_starts, flat_ends = np.concatenate(rows.starts), np.concatenate(rows.ends)
    for first, last in _split_into_chunks([len(tags) for tags in rows.tags]):
        splits = bounds[first : last + 1]
        chunk, splits = slice(splits[0], splits[-1]), splits - splits[0]
        padded, starts, ends = (
            tf.RaggedTensor.from_row_splits(tf.constant(values[chunk]), splits)
            for values in (logits, flat_starts, flat_ends)
        )
        columns = [column.to_list() for column in find(padded.to_tensor(), starts, ends)]
        predicted += [
            [(s, e, classes[t]) for s, e, t, _ in zip(*row, strict=True)] for row in zip(*columns, strict=True)
        ]
    return predicted


def _split_into_chunks(lengths):
    """Yields the first index and the index after the last of chunks of texts with these numbers of words."""
    first, longest = 0, 0
    for index, length in enumerate(lengths):
        longest = max(longest, length)
        if index > first and longest * (index + 1 - first) > MAX_WORDS:
            yield first, index
            first, longest = index, length
    if lengths:
        yield first, len(lengths)


def save_report(folder, split, predicted, baselines=()):
    """Writes `report.json` and `SPANS_FILE`, and returns the content of the first.

    `precision`, `recall` and `f1` are over all spans (Tjong Kim Sang and De Meulder 2003, section 2.3), `macro_f1` is
    the mean over types, and `classes` has them by type; each of `baselines` has the interval of the gain in F1 over it,
    of `bootstrap_difference`.

    Args:
        folder: an existing folder.
        split: a `TaggedSet` of n texts.
        predicted: for each text a list of (start, end, type).
        baselines: dict of `predict_baselines`.
    """
    report = {"data": split.name, "fingerprint": split.fingerprint, "count": len(split)}
    report["span_count"] = sum(map(len, split.spans))
    report |= summarize_spans(split.spans, predicted, split.classes)
    counts = count_spans(split.spans, predicted)
    if baselines:
        report["baselines"] = [_summarize_baseline(name, *values, split, counts) for name, values in baselines.items()]
    write_text(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    lines = [
        json.dumps({"text": split.texts[index], "true": split.spans[index], "predicted": sorted(predicted[index])})
        for index in _select_examples(counts)
    ]
    write_text(folder / SPANS_FILE, "\n".join(lines) + "\n")
    return report


def summarize(report, name):
    """Returns the figures of a report on the split `name` and of its baselines as text."""
    lines = [
        f"{name.capitalize():11} F1 {report['f1']:.2%}, precision {report['precision']:.2%}, "
        f"recall {report['recall']:.2%} of {report['span_count']:,} spans in {report['count']:,} texts"
    ]
    lines += [
        f"{'':11} F1 {row['f1']:.2%} by {row['name']} ({row['seconds']:.1f} s)" for row in report.get("baselines", [])
    ]
    best = max(report.get("baselines", []), key=lambda row: row["f1"], default=None)
    if best:
        low, high = best["f1_gain_low"], best["f1_gain_high"]
        verdict = "it may be chance" if low <= 0 <= high else "more than chance"
        if report["count"] < MIN_TEXTS:
            verdict = f"fewer than {MIN_TEXTS} texts say little"
        lines.append(
            f"With 95 % confidence the model's F1 differs from the best baseline's by {100 * low:+.1f} to "
            f"{100 * high:+.1f} percentage points: {verdict}."
        )
    if best and report["f1"] <= best["f1"]:
        lines.append(
            f"The network is not better than its baseline, {best['name']}: train it for more epochs, start from other "
            "weights (--init), or use the baseline instead."
        )
    return "\n".join(lines)


def _summarize_baseline(name, predicted, seconds, split, counts):
    own = count_spans(split.spans, predicted)
    values = dict(zip(("precision", "recall", "f1"), compute_f1(own.sum(axis=0)), strict=True))
    low, high = bootstrap_difference(lambda total: compute_f1(total)[2], counts, own)
    return {"name": name, **values, "seconds": seconds, "f1_gain_low": low, "f1_gain_high": high}


def _select_examples(counts):
    """Returns indices of texts: half of them with mistakes, and the others with spans that are all right, as far as
    there are any; at equal intervals."""
    is_wrong = (counts[:, 0] < counts[:, 1]) | (counts[:, 0] < counts[:, 2])
    wrong, right = np.flatnonzero(is_wrong), np.flatnonzero(~is_wrong & (counts[:, 2] > 0))
    selected = [
        indices[np.unique(np.linspace(0, len(indices) - 1, MAX_EXAMPLES // 2).astype(int))]
        for indices in (wrong, right)
        if len(indices)
    ]
    return np.sort(np.concatenate(selected)) if selected else []
