"""Schemes of tags, and precision, recall and F1 of spans, against seqeval."""

import numpy as np
import pytest

from karpa_tf.data.text.tagged_files import parse_tags
from karpa_tf.metrics.spans import summarize_spans

seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed: make test-reference")

TYPES = ("LOC", "PER", "ORG")
PREFIXES = {"BIO": "BI", "BIOES": "BIES"}


def draw_tags(rng, prefixes):
    """Returns random tags of 50 texts, many of which no scheme allows."""
    tags = ["O", *(f"{prefix}-{name}" for prefix in prefixes for name in TYPES)]
    return [rng.choice(tags, rng.integers(1, 20)).tolist() for _ in range(50)]


@pytest.mark.parametrize("scheme", PREFIXES)
def test_figures_are_those_of_seqeval_for_any_tags(scheme):
    rng = np.random.default_rng(0)
    true, predicted = (draw_tags(rng, PREFIXES[scheme]) for _ in range(2))
    predicted = [
        [mine if rng.random() < 0.7 else other for mine, other in zip(ours, (theirs + ours)[: len(ours)], strict=True)]
        for ours, theirs in zip(true, predicted, strict=True)
    ]
    summary = summarize_spans([parse_tags(t) for t in true], [parse_tags(t) for t in predicted], TYPES)
    expected = seqeval.classification_report(true, predicted, output_dict=True)
    assert 0.1 < summary["f1"] < 0.9
    for ours, theirs in ((summary, expected["micro avg"]), *((summary["classes"][t], expected[t]) for t in TYPES)):
        for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert ours[name] == pytest.approx(theirs[key], abs=1e-12)
    assert summary["macro_f1"] == pytest.approx(expected["macro avg"]["f1-score"])
