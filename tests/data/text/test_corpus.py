"""Where documents come from, what parts them, and what is said of files that hold none."""

import itertools
import json
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from karpa_tf.data.text import corpus as documents
from karpa_tf.data.text.corpus import find_corpus
from karpa_tf.errors import UserError


def read(data, **settings):
    return list(find_corpus(str(data), **settings).read())


def test_blank_lines_part_documents_and_line_ends_do_where_there_are_none():
    Path("a.txt").write_text("One\ntwo.\n\n\n  \nThree.\n")
    Path("b.txt").write_text("One.\nTwo.\n")
    assert read("a.txt") == ["One\ntwo.", "Three."]
    assert read("b.txt") == ["One.", "Two."]


def test_folders_and_globs_are_read_in_order_at_any_depth():
    Path("data/sub").mkdir(parents=True)
    for name in ("b.md", "a.txt", "sub/c.rst", "image.png"):
        Path("data", name).write_text(name)
    assert read("data") == ["a.txt", "b.md", "sub/c.rst"]
    assert read("data/**/*.*") == ["a.txt", "b.md", "image.png", "sub/c.rst"]


def test_json_lines_give_the_field_that_is_asked_for():
    Path("a.jsonl").write_text("\n".join(json.dumps({"body": text, "text": "x"}) for text in ("One.\n\nStill.", " ")))
    assert read("a.jsonl", field="body") == ["One.\n\nStill."]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "utf-8-sig", "cp1252"])
def test_other_encodings_are_read_where_they_are_named(encoding):
    Path("a.txt").write_text("Käse für alle.\n\nÜber.", encoding=encoding)
    assert read("a.txt", encoding=encoding.removesuffix("-sig")) == ["Käse für alle.", "Über."]


def test_documents_longer_than_memory_should_hold_are_cut(monkeypatch):
    monkeypatch.setattr(documents, "AT_MOST", 100)
    Path("line.txt").write_text("word " * 100)
    Path("block.txt").write_text("first\n\n" + "a line of text\n" * 100)
    for name in ("line.txt", "block.txt"):
        found = read(name)
        assert max(map(len, found)) <= 130
        assert "".join("".join(found).split()) == "".join(Path(name).read_text().split())


def test_a_prepared_set_gives_its_splits(tmp_path):
    features = tfds.features.FeaturesDict({"text": tfds.features.Text(), "other": tfds.features.Text()})
    splits = {"train": ["One line.", "First.\n\nStill."], "validation": ["A book.\n\nIts second part."]}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_text",
        version="1.0.0",
        features=features,
        split_datasets={
            name: tf.data.Dataset.from_tensor_slices({"text": texts, "other": texts}) for name, texts in splits.items()
        },
        data_dir=str(tmp_path / "sets"),
    )
    sets = str(tmp_path / "sets")
    assert sorted(read("tiny_text", data_dir=sets)) == ["First.\n\nStill.", "One line."]
    assert read("tiny_text", data_dir=sets, split="validation") == ["A book.", "Its second part."]
    assert find_corpus("tiny_text", data_dir=sets, split="test") is None
    with pytest.raises(UserError, match="has no feature body; it has (other, text|text, other)"):
        find_corpus("tiny_text", field="body", data_dir=sets)


@pytest.mark.slow
def test_pythons_own_texts_are_english_without_drawn_lines_and_doctests():
    corpus = find_corpus("python_docs")
    texts = list(corpus.read())
    assert len(texts) > 3000 and texts[:50] == list(itertools.islice(corpus.read(), 50))
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    assert not any(line.startswith(">>>") for line in lines)
    assert all(any(map(str.isalpha, line)) for line in lines)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"", "--data a.txt holds no text: 1 file, all empty"),
        ("a.txt", b" \n\n \n", "all empty"),
        (
            "a.txt",
            "Gut.\nKäse".encode("latin-1"),
            "a.txt is not utf-8: byte 6 is 0xe4; name its encoding by --encoding",
        ),
        ("a.txt", b"x" * 3_000_000 + b"\xff", "byte 3000000 is 0xff"),
        ("a.txt", b"abc\xc3", "byte 3 is 0xc3"),
        ("a.txt", b"PK\x03\x04\x00\x00", "a.txt is no text file: it holds zero bytes"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "a.jsonl, line 2, is no JSON object"),
        ("a.jsonl", b'["a"]\n', "a.jsonl, line 1, is no JSON object; expected one in every line"),
        ("a.jsonl", b'{"body": "a", "id": 1}\n', "line 1, has no text; it has body, id: choose by --field"),
        ("a.jsonl", b'{"text": 5}\n', "text must be a text; received 5"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named_with_the_place(name, content, says):
    Path(name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        read(name)


@pytest.mark.parametrize(
    ("data", "settings", "says"),
    [
        ("missing", {}, "there is no such file, folder or pattern, and no set of that name"),
        ("python_doc", {}, "did you mean python_docs?"),
        ("*.txt", {}, "there is no such file"),
        ("empty", {}, "empty holds no text; expected files ending in .txt"),
        ("python_docs", {"encoding": "utf-9"}, "--encoding utf-9 is not known"),
    ],
)
def test_data_that_is_not_there_is_refused(data, settings, says):
    Path("empty").mkdir()
    with pytest.raises(UserError, match=says):
        find_corpus(data, **settings)
