"""Programs for spans, pairs of texts and numbers answer the same from a server as from the export that it serves."""

from pathlib import Path

import numpy as np
import pytest
from programs import refusal
from served import ServerProcess, more_text_models

from apps import classify, rate_text, tag_text

pytestmark = pytest.mark.slow

TEXTS = ("a good 😀 list", "", "the cat\nof a list")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return more_text_models(tmp_path_factory)


@pytest.fixture(scope="module")
def ask_both(models, tmp_path_factory):
    """Runs a program with a model of a server and with the same export, and returns both results."""
    with ServerProcess(models, tmp_path_factory.mktemp("server") / "log") as process:
        server = f"http://127.0.0.1:{process.rest_port}"
        yield lambda app, model, **flags: (
            app.run(app.Config(server=server, model=model, **flags)),
            app.run(app.Config(saved_model=str(models / model), **flags)),
        )


def test_a_server_classifies_pairs_of_texts_and_rates_texts(ask_both, models, capsys):
    pairs = {"text": TEXTS, "text_pair": ("the cat", "a list!", "")}
    served, loaded = ask_both(classify, "pairs", **pairs)
    for (name, best), (other, same) in zip(served, loaded, strict=True):
        assert name == other and dict(best) == pytest.approx(dict(same), abs=1e-5)
    assert capsys.readouterr().out.startswith("a good 😀 list\tthe cat  ")
    served, loaded = ask_both(rate_text, "ratings", text=TEXTS, out="out.csv")
    assert [text for text, _ in served] == list(TEXTS)
    np.testing.assert_allclose([value for _, value in served], [value for _, value in loaded], atol=1e-5)
    assert Path("out.csv").read_text().startswith("text,value\na good 😀 list,")
    Path("a.txt").write_text("a list\n\n the cat\r\n\n")
    Path("b.txt").write_text("x\ny\nz\n")
    rows = classify.run(classify.Config(saved_model=str(models / "pairs"), file="a.txt", pair_file="b.txt"))
    assert [name for name, _ in rows] == ["a list\tx", "\ty", " the cat\tz"]
    Path("b.txt").write_text("\n")
    folder = str(models / "pairs")
    for flags, message in (
        ({"text": TEXTS, "text_pair": ("a",)}, "There are 3 texts and 1 second texts; give one for each."),
        ({"text": TEXTS}, "is no text classifier; its signatures are serving_default, of text, text_pair."),
        ({"text": ("a",), "pair_file": "b.txt"}, "There are 1 texts and 0 second texts"),
        ({"file": "-", "pair_file": "-"}, "Standard input can be --file or --pair-file, not both."),
    ):
        assert message in refusal(
            capsys, lambda flags=flags: classify.run(classify.Config(saved_model=folder, **flags))
        )


def test_a_server_marks_spans_of_texts_with_different_numbers_of_them(ask_both):
    texts = (*TEXTS, "日本 中 list! 😀 a")
    served, loaded = ask_both(tag_text, "names", texts=texts, out="out.csv", page="page.html")
    assert [text for text, _ in served] == list(texts) and len({len(spans) for _, spans in served}) > 1
    for (_, one), (_, other) in zip(served, loaded, strict=True):
        assert [span[:3] for span in one] == [span[:3] for span in other]
        np.testing.assert_allclose([span[3] for span in one], [span[3] for span in other], atol=1e-5)
    assert Path("out.csv").read_text().startswith("text,start,end,span,type,score\n")
