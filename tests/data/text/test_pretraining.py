"""The text of a pretraining run."""

import dataclasses
from pathlib import Path

import pytest

from karpa_tf.configs.masked_lm import PRESETS
from karpa_tf.data.text.pretraining import load_pretraining_text
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.errors import UserError


def load(words, known, **changes):
    Path("a.txt").write_text("\n".join(" ".join(words) for _ in range(400)))
    config = dataclasses.replace(PRESETS["smoke"], data="a.txt", **changes)
    return load_pretraining_text(config, Vocabulary((*SPECIAL, *known)))


@pytest.mark.parametrize(("unknown", "warns"), [(0, False), (1, True), (5, True)])
def test_many_unknown_tokens_are_said(unknown, warns, capsys):
    load(["a"] * (10 - unknown) + ["b"] * unknown, ["a"])
    assert (f"{unknown}0% of the tokens are [UNK]" in capsys.readouterr().err) == warns


def test_text_of_unknown_tokens_is_refused():
    with pytest.raises(UserError, match=r"100% of the tokens are \[UNK\]: its words are not in"):
        load(["ACGT" * 30] * 9, ["a"])


def test_the_fingerprint_is_that_of_the_tokens_wherever_the_text_is():
    first = load(["a", "b"], ["a", "b"]).metadata()
    Path("a.txt").rename("b.txt")
    Path("moved").mkdir()
    again = load(["a", "b"], ["a", "b"], cache_dir="moved").metadata()
    changed = load(["b", "a"], ["a", "b"]).metadata()
    assert first == again and first["train"]["fingerprint"] != changed["train"]["fingerprint"]
