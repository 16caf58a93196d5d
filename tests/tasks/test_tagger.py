"""What is printed about texts with spans."""

import dataclasses

from exported_models import VOCABULARY

from karpa_tf.data.text.tagged import TaggedSet
from karpa_tf.data.text.tagged_batches import TaggedRows
from karpa_tf.data.text.tagged_files import Span
from karpa_tf.tasks import tagger


def test_lost_capital_letters_are_told(monkeypatch, capsys):
    monkeypatch.setattr(tagger, "make_tagged_rows", lambda *_: TaggedRows([], [], [], [], []))

    def tokenize(text, vocabulary=VOCABULARY):
        tagger.tokenize({"train": TaggedSet("x", (text,), ((Span(0, 3, "A"),),), ("A",))}, vocabulary, 40)
        return "--no-lowercase" in capsys.readouterr().out

    assert tokenize("The list")
    assert not tokenize("the list")
    assert not tokenize("The list", dataclasses.replace(VOCABULARY, lowercase=False))
