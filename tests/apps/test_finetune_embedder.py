"""The programs that embed, index and search texts as a user runs them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from programs import refusal
from tiny_texts import COLORS, pretrain, write_tagged

from apps import export, finetune_embedder, finetune_tagger, index_texts, search
from karpa_tf import cli
from karpa_tf.export import card

pytestmark = pytest.mark.slow

TEXTS = [f"the {thing} is {color}" for thing, color in COLORS.items()]
INDEXED = [*TEXTS, "Ünïcode 日本", "nothing of that"]


def finetune(*words):
    return finetune_embedder.run(cli.parse(finetune_embedder.PRESETS, "", args=[*words, "--export-dir", "models"]))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with questions, whose answers have no word of them, and the same texts in a file."""
    folder, rng = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    rows = [rng.permutation(list(COLORS))[:3] for _ in range(400)]
    pairs = [(" ".join(things), " and ".join(COLORS[thing] for thing in things)) for things in rows]
    (folder / "pairs.csv").write_text("question,answer\n" + "".join(f"{a},{b}\n" for a, b in pairs))
    (folder / "texts.txt").write_text("\n".join(INDEXED) + "\n")
    return folder


@pytest.fixture(scope="module")
def tuned(pretrained, folder):
    """The run of an embedder that knows which colors things have."""
    words = (
        "--init",
        pretrained,
        "--data",
        str(folder / "pairs.csv"),
        "--text-field",
        "question",
        "--pair-field",
        "answer",
    )
    flags = ("--epochs", "12", "--batch-size", "16", "--learning-rate", "0.01", "--name", "colors")
    paths = ("--run", str(folder / "run"), "--export-dir", str(folder / "models"))
    return finetune_embedder.run(cli.parse(finetune_embedder.PRESETS, "", args=[*words, *flags, *paths]))


@pytest.fixture(scope="module")
def index(tuned, pretrained, folder):
    """An index of `TEXTS` with entities."""
    write_tagged(folder / "tagged.conll")
    words = [
        "--init",
        pretrained,
        "--data",
        str(folder / "tagged.conll"),
        "--run",
        str(folder / "tagger"),
        "--epochs",
        "4",
    ]
    words += ["--batch-size", "8", "--learning-rate", "0.02", "--export-dir", str(folder / "models")]
    finetune_tagger.run(cli.parse(finetune_tagger.PRESETS, "", args=words))
    config = {"run": str(tuned.path), "data": str(folder / "texts.txt"), "index": str(folder / "index")}
    return index_texts.run(index_texts.Config(**config, tagger=str(folder / "tagger")))


def test_what_has_no_words_in_common_is_found_and_search_by_words_finds_nothing(tuned):
    report = json.loads((tuned.eval / "report.json").read_text())
    chance, *by_words = report["baselines"]
    assert [row["name"] for row in report["baselines"]] == ["chance", "TF-IDF", "BM25"]
    assert all(row["mrr"] == row["recall_at_10"] == 0 for row in by_words)
    assert report["mrr"] > 5 * chance["mrr"] and report["count"] > report["searched"] > 20
    with open(tuned.eval / "queries.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # The first result is the answer if and only if its rank is 1; of equal questions any answer counts.
    assert len(rows) == 36 and {row["rank of the answer"] == "1" for row in rows} == {True, False}
    for row in rows:
        assert row["rank of the answer"] == "1" or row["first result"] != row["answer"]
        assert set(row["query"].split()) <= set(COLORS)
    page = (tuned.path / "report.html").read_text()
    assert "recall at 10" in page and "first result" in page


def test_a_run_its_export_and_a_search_agree(tuned, index, capsys):
    queries = ("the sky is blue", "coal")
    by_run = search.run(
        search.Config(index=index, queries=queries, by="meaning", top=3, out="found.csv", page="found.html")
    )
    assert by_run[0][1][0] == ("the sky is blue", pytest.approx(1, abs=1e-5))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == queries[0] and printed[1].split() == ["1", *queries[0].split()]
    exported = search.run(
        search.Config(index=index, queries=queries, by="meaning", top=3, saved_model=tuned.metadata()["saved_model"])
    )
    for (_, ours), (_, theirs) in zip(by_run, exported, strict=True):
        np.testing.assert_allclose([score for _, score in ours], [score for _, score in theirs], atol=1e-5)
    serve = tf.saved_model.load(tuned.metadata()["saved_model"]).signatures["serving_default"]
    vectors = serve(text=tf.constant([queries[1], *INDEXED]))["embedding"].numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    expected = np.sort(vectors[1:] @ vectors[0])[::-1][:3]
    np.testing.assert_allclose([score for _, score in by_run[1][1]], expected, atol=1e-5)
    with open("found.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query"] for row in rows] == [queries[0]] * 3 + [queries[1]] * 3
    assert Path("found.html").read_text().count("<li>") == 6


def test_the_factors_of_a_run_are_in_its_export_and_in_indexes_made_by_either(tuned, index, folder):
    factors = list(json.loads((tuned.path / "factors.json").read_text()).values())
    saved_model = tuned.metadata()["saved_model"]
    assert len(factors) == 2 and card.read(saved_model)["details"]["factors"] == factors
    config = {"saved_model": str(Path(saved_model).parent), "data": str(folder / "texts.txt"), "index": "exported"}
    other = index_texts.run(index_texts.Config(**config))
    one, two = (json.loads((Path(path) / "index.json").read_text()) for path in (index, other))
    assert one["factors"] == two["factors"] == factors
    assert two["source"] == {"saved_model": str(Path(saved_model).absolute())}  # of this version, whatever comes later
    expected, found = (search.run(search.Config(index=path, queries=("coal",), top=3)) for path in (index, other))
    assert [text for text, _ in expected[0][1]] == [text for text, _ in found[0][1]]


def test_words_alone_need_no_model(index, monkeypatch):
    monkeypatch.setattr("karpa_tf.tasks.embedder.connect", None)
    [(_, found)] = search.run(search.Config(index=index, queries=("coal ünïcode",), by="words"))
    assert {text for text, _ in found} == {"the coal is black", "Ünïcode 日本"}
    assert search.run(search.Config(index=index, queries=("xyz",), by="words")) == [("xyz", [])]


def test_both_searches_together_find_what_either_finds(index):
    [(_, found)] = search.run(search.Config(index=index, queries=("coal",), top=99))
    assert len(found) == len(INDEXED) and found[0][0] == "the coal is black"


def test_an_entity_is_shown_with_what_is_named_beside_it(index, capsys):
    linked, texts = search.run(search.Config(index=index, entity="BLUE", out="blue.csv"))
    assert linked[0].startswith("blue COLOR, 2 mentions, is named") and texts[0] == "blue COLOR in texts"
    assert linked[1] == [("sea THING", 1), ("sky THING", 1)]
    assert [text for text, _ in texts[1]] == ["the sky is blue", "the sea is blue"]
    with open("blue.csv", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [
            "sea THING",
            "sky THING",
            "the sky is blue",
            "the sea is blue",
        ]
    assert 'No text names "gold"' in refusal(capsys, lambda: search.run(search.Config(index=index, entity="gold")))


def test_a_run_is_exported_again_and_resumed_without_training(tuned, capsys):
    before = tuned.read_metrics()
    again = export.run(export.ExportConfig(run=str(tuned.path), name="again", export_dir="models"))
    one, two = (
        tf.saved_model.load(str(path)).signatures["serving_default"](text=tf.constant(TEXTS))["embedding"]
        for path in (tuned.metadata()["saved_model"], again)
    )
    np.testing.assert_array_equal(one, two)
    words = ["--config", str(tuned.config_file), "--run", str(tuned.path)]
    assert finetune_embedder.run(cli.parse(finetune_embedder.PRESETS, "", args=words)).read_metrics() == before
    assert "resumed after epoch 12" in capsys.readouterr().out


@pytest.mark.parametrize("positives", ["crops", "dropout"])
def test_texts_alone_are_trained_on_and_long_ones_are_read_to_their_end(pretrained, positives):
    Path("long.txt").write_text("\n\n".join(" ".join([text] * count) for text in TEXTS for count in range(2, 9)))
    run = finetune("smoke", "--init", pretrained, "--data", "long.txt", "--positives", positives, "--run", "run")
    report = json.loads((run.eval / "report.json").read_text())
    assert report["count"] == 11 and {"mrr", "baselines", "parts"} <= report.keys()
    serve = tf.saved_model.load(run.metadata()["saved_model"]).signatures["serving_default"]
    long = " ".join(TEXTS * 5)
    one, two = serve(text=tf.constant([long, f"{long} coal coal coal"]))["embedding"].numpy()
    assert np.abs(one - two).max() > 1e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "a.csv"], "Name a pretrained masked language model to start from: --init RUN"),
        (["--data", "missing", "--init", "RUN"], "there is no such file, folder, glob or data set"),
        (
            ["--data", "a.csv", "--init", "RUN", "--pair-field", "c", "--text-field", "a"],
            "no column c; the columns are a, b",
        ),
        (["--data", "a.csv", "--init", "RUN", "--text-field", "a", "--batch-size", "99"], "--batch-size 99 is larger"),
        (["--data", "a.csv", "--init", "RUN", "--freeze", "features"], "--freeze leaves nothing to train"),
        (["--init", "RUN", "--positives", "dropout", "--dropout", "0"], "needs --dropout above 0"),
        (["--init", "RUN", "--gradient-accumulation-steps", "2"], "--gradient-accumulation-steps cannot be used here"),
    ],
)
def test_wrong_flags_are_refused(pretrained, words, message, capsys):
    Path("a.csv").write_text("a,b\n" + "".join(f"text {i},other {i}\n" for i in range(20)))
    assert message in refusal(capsys, lambda: finetune(*[pretrained if word == "RUN" else word for word in words]))


def test_search_and_indexing_refuse_what_they_cannot_do(pretrained, tuned, index, folder, capsys):
    def find(**flags):
        return refusal(capsys, lambda: search.run(search.Config(**flags)))

    def write(**flags):
        return refusal(capsys, lambda: index_texts.run(index_texts.Config(**flags)))

    assert "Give --index, and a query" in find(index=index)
    assert "Give --index, and a query" in find(index=index, queries=("a",), entity="b")
    assert "--index . is no index" in find(index=".", queries=("a",))
    assert "holds no run of finetune_embedder" in find(index=index, queries=("a",), run=pretrained)
    assert "There is no query, or a blank one" in find(index=index, queries=(" ",))
    assert "--page missing/page.html cannot be written" in find(index=index, queries=("a",), page="missing/page.html")
    assert "--page . cannot be written" in find(index=index, queries=("a",), page=".")
    texts = str(folder / "texts.txt")
    assert "cannot be written (File name too long)" in write(run=str(tuned.path), data=texts, index="x" * 300)
    assert f"--index {index} exists" in write(run=str(tuned.path), data=texts, index=index)
    assert "Give --data, the texts, and --index" in write(run=str(tuned.path), data=texts)
    assert "Give one of --run DIR" in write(data=texts, index="new")
    assert "holds no run of finetune_embedder" in write(run=pretrained, data=texts, index="new")
    flags = {"run": str(tuned.path), "data": texts, "index": "new"}
    assert "--tagger nothing is neither a run of finetune_tagger" in write(**flags, tagger="nothing")
    assert f"--tagger {pretrained} holds no run of finetune_tagger" in write(**flags, tagger=pretrained)
    assert not Path("new").exists()
