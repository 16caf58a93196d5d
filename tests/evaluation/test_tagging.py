"""Reports on taggers, and the simple taggers beside them."""

import json

import numpy as np
import pytest
from exported_models import VOCABULARY

from karpa_tf.data.text.tagged import TaggedSet
from karpa_tf.data.text.tagged_batches import make_tagged_rows
from karpa_tf.data.text.tagged_files import Span
from karpa_tf.evaluation import tagging
from karpa_tf.evaluation.marked_spans import mark_for_page, mark_for_terminal
from karpa_tf.evaluation.span_baselines import LINEAR, LIST, predict_baselines

TYPES = ("A", "B")


def make_set(texts, spans):
    tagged_set = TaggedSet("texts", tuple(texts), tuple(tuple(Span(*span) for span in row) for row in spans), TYPES)
    return tagged_set, make_tagged_rows(tagged_set, VOCABULARY, 60)


def test_the_look_up_takes_the_longest_span_and_its_most_frequent_type():
    train = make_set(
        ["the list a", "the list a", "the a", "the list"],
        [[(0, 8, "A")], [(0, 8, "A")], [(0, 3, "B")], [(0, 8, "B")]],
    )
    split = make_set(["a the list", "the cat the"], [[], []])
    spans, seconds = predict_baselines(train, split, 0)[LIST]
    assert spans == [[(2, 10, "A")], [(0, 3, "B"), (8, 11, "B")]] and seconds < 10


@pytest.mark.slow
def test_the_linear_tagger_learns_what_depends_on_a_neighbor():
    rng = np.random.default_rng(0)
    texts = [f"{rng.choice(['the', 'a'])} {rng.choice(['cat', 'list', 'dog'])} is" for _ in range(200)]
    spans = [[(len(text.split()[0]) + 1, len(text) - 3, "A" if text.startswith("the") else "B")] for text in texts]
    train, split = make_set(texts[:150], spans[:150]), make_set(texts[150:], spans[150:])
    found, _ = predict_baselines(train, split, 0)[LINEAR]
    assert found == [[tuple(span) for span in row] for row in split[0].spans]


def test_chunks_hold_every_text_once_and_are_bounded(monkeypatch):
    monkeypatch.setattr(tagging, "MAX_WORDS", 12)
    lengths = [3, 3, 3, 3, 3, 20, 1, 0, 12, 1]
    chunks = list(tagging._split_into_chunks(lengths))
    assert [index for first, last in chunks for index in range(first, last)] == list(range(len(lengths)))
    assert all(last - first == 1 or (last - first) * max(lengths[first:last]) <= 12 for first, last in chunks)
    assert list(tagging._split_into_chunks([])) == []


@pytest.mark.slow
def test_spans_are_the_same_in_chunks_of_any_size(monkeypatch):
    texts = ["the list of a cat " * (1 + index % 4) for index in range(9)]
    _, rows = make_set(texts, [[]] * 9)
    logits = np.random.default_rng(0).normal(size=(sum(map(len, rows.tags)), 5)).astype(np.float32)
    whole = tagging.decode(logits, rows, TYPES)
    monkeypatch.setattr(tagging, "MAX_WORDS", 7)
    assert tagging.decode(logits, rows, TYPES) == whole and sum(map(len, whole)) > 10


def test_the_report_counts_spans_and_shows_mistakes(tmp_path):
    split, _ = make_set(["the list", "a cat", "dog"], [[(0, 3, "A")], [(2, 5, "B")], []])
    predicted = [[(0, 3, "A")], [(2, 5, "A")], []]
    baselines = {"other": ([[(0, 3, "A")], [(2, 5, "B")], []], 0.5)}
    report = tagging.save_report(tmp_path, split, predicted, baselines)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert report["f1"] == 0.5 and report["span_count"] == 2 and report["baselines"][0]["f1"] == 1
    rows = [json.loads(line) for line in (tmp_path / "spans.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["the list", "a cat"]
    text = tagging.summarize(report, "test")
    assert "F1 50.00%" in text and "fewer than 20 texts say little" in text and "not better than its baseline" in text


def test_marks_stand_where_the_spans_are():
    text = "in <Paris>, 日本"
    spans = [(3, 10, "LOC", 0.9), (12, 14, "<B>", 0.8)]
    assert mark_for_terminal(text, spans, color=False) == "in [<Paris> LOC], [日本 <B>]"
    colored = mark_for_terminal(text, spans, color=True)
    assert colored.count("\033[0m") == 2 and "[<Paris> LOC]" in colored
    page = mark_for_page(text, spans, [(3, 10, "LOC"), (0, 2, "X")])
    assert page.count("<mark") == 2 and "<Paris>" not in page and "&lt;B&gt;" in page
    assert page.count("wrong") == 1 and "Not found: in (X)" in page


@pytest.mark.parametrize("spans", [[], [(0, 3, "A")]])
def test_a_report_needs_no_baselines_and_no_mistakes(tmp_path, spans):
    split, _ = make_set(["the list"], [spans])
    assert "baselines" not in tagging.save_report(tmp_path, split, [spans])
