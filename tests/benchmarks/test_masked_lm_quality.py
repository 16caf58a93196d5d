"""Perplexity and predictions of the default language model. Trains for minutes."""

import json
import time

import pytest

from apps import fill_mask, train_mlm
from karpa_tf import cli

EXPECTED = {  # Texts, and plausible words for their masks.
    "if the file does not [MASK], an error is raised.": {"exist"},
    "return the [MASK] of the list.": {"length", "number", "index", "size", "list", "elements", "end", "contents"},
    "this method must be overridden in [MASK] subclass.": {"a", "the", "each", "any", "this"},
    "return true [MASK] the object is a string, false otherwise.": {"if", "when"},
}


@pytest.mark.slow
def test_the_default_preset_predicts_masked_words_after_four_minutes():
    start = time.perf_counter()
    run = train_mlm.run(cli.parse(train_mlm.PRESETS, train_mlm.__doc__, args=["--run", "run"]))
    minutes = (time.perf_counter() - start) / 60
    report = json.loads((run.eval / "report.json").read_text())
    print(f"\n{minutes:.1f} minutes: {report}")
    predictions = fill_mask.run(fill_mask.Config(run="run", texts=tuple(EXPECTED)))
    assert report["perplexity"] < report["unigram_perplexity"] / 6
    assert report["accuracy"] > 0.25 > 4 * report["unigram_accuracy"]
    is_plausible = [any(word in EXPECTED[text] for word, _ in masks[0]) for text, masks in predictions]
    assert sum(is_plausible) >= 3
