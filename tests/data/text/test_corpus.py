"""Documents of files, data sets and Python's documentation, and errors of files without text."""

import itertools
import json
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from karpa_tf.data.text import corpus, lines
from karpa_tf.data.text.corpus import find_corpus
from karpa_tf.errors import UserError


def read(data, **settings):
    return list(find_corpus(str(data), **settings).read())


def test_documents_are_paragraphs_or_lines_if_there_are_no_blank_lines():
    Path("a.txt").write_text("One\ntwo.\n\n\n  \nThree.\n")
    Path("b.txt").write_text("\n\nOne.\nTwo.\n\n")
    assert read("a.txt") == ["One\ntwo.", "Three."]
    assert read("b.txt") == ["One.", "Two."]


def test_a_short_file_without_blank_lines_is_one_document_among_several_files(monkeypatch):
    Path("reviews").mkdir()
    for number in range(3):
        Path("reviews", f"{number}.txt").write_text(f"review {number} .\nit is long .\n")
    Path("reviews", "3.txt").write_text("One.\n\nTwo.\n")
    reviews = [f"review {number} .\nit is long ." for number in range(3)]
    assert read("reviews") == read("reviews/*.txt") == [*reviews, "One.", "Two."]
    assert read("reviews", documents="files") == [*reviews, "One.\n\nTwo."]
    assert read("reviews", documents="lines")[:2] == ["review 0 .", "it is long ."]
    assert read("reviews/0.txt", documents="paragraphs") == reviews[:1]
    monkeypatch.setattr(corpus, "MAX_CHARACTERS", 20)
    assert read("reviews")[:2] == ["review 0 .", "it is long ."]  # such a long file is a list of documents
    assert read("reviews/0.txt", documents="files") == reviews[:1]


def test_folders_and_globs_are_read_recursively_in_order():
    Path("data/sub").mkdir(parents=True)
    for name in ("b.md", "a.txt", "sub/c.rst", "image.png"):
        Path("data", name).write_text(name)
    assert read("data") == ["a.txt", "b.md", "sub/c.rst"]
    assert read("data/**/*.*") == ["a.txt", "b.md", "image.png", "sub/c.rst"]


def test_json_lines_have_their_text_in_the_specified_field():
    Path("a.jsonl").write_text("\n".join(json.dumps({"body": text, "text": "x"}) for text in ("One.\n\nStill.", " ")))
    assert read("a.jsonl", field="body") == ["One.\n\nStill."]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "utf-8-sig", "cp1252"])
def test_files_are_read_in_the_specified_encoding(encoding):
    Path("a.txt").write_text("Käse für alle.\n\nÜber.", encoding=encoding)
    assert read("a.txt", encoding=encoding.removesuffix("-sig")) == ["Käse für alle.", "Über."]


def test_long_lines_and_documents_are_split(monkeypatch):
    for module in (corpus, lines):
        monkeypatch.setattr(module, "MAX_CHARACTERS", 100)
    Path("line.txt").write_text("word " * 100)
    Path("block.txt").write_text("first\n\n" + "a line of text\n" * 100)
    for name in ("line.txt", "block.txt"):
        documents = read(name)
        assert max(map(len, documents)) <= 130
        assert "".join("".join(documents).split()) == "".join(Path(name).read_text().split())


def test_a_prepared_data_set_has_its_splits(tmp_path):
    features = tfds.features.FeaturesDict({"text": tfds.features.Text(), "other": tfds.features.Text()})
    splits = {"train": ["One line.", "First.\n\nStill."], "validation": ["A book.\n\nIts second part."]}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_text",
        version="1.0.0",
        features=features,
        split_datasets={
            name: tf.data.Dataset.from_tensor_slices({"text": texts, "other": texts}) for name, texts in splits.items()
        },
        data_dir=str(tmp_path / "tfds"),
    )
    data_dir = str(tmp_path / "tfds")
    assert sorted(read("tiny_text", data_dir=data_dir)) == ["First.\n\nStill.", "One line."]
    assert read("tiny_text", data_dir=data_dir, split="validation") == ["A book.", "Its second part."]
    assert find_corpus("tiny_text", data_dir=data_dir, split="test") is None
    with pytest.raises(UserError, match="no feature body; the features are (other, text|text, other)"):
        find_corpus("tiny_text", field="body", data_dir=data_dir)


@pytest.mark.slow
def test_python_docs_have_no_doctests_and_no_lines_without_letters():
    python_docs = find_corpus("python_docs")
    texts = list(python_docs.read())
    assert len(texts) > 3000 and texts[:50] == list(itertools.islice(python_docs.read(), 50))
    text_lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    assert not any(line.startswith(">>>") for line in text_lines)
    assert all(any(map(str.isalpha, line)) for line in text_lines)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "--data a.txt has no text: 1 file, all empty"),
        ("a.txt", b" \n\n \n", "all empty"),
        (
            "a.txt",
            "Gut.\nKäse".encode("latin-1"),
            "a.txt is not utf-8: byte 6 is 0xe4; specify the encoding with --encoding",
        ),
        ("a.txt", b"x" * 3_000_000 + b"\xff", "byte 3000000 is 0xff"),
        ("a.txt", b"abc\xc3", "byte 3 is 0xc3"),
        ("a.txt", b"PK\x03\x04\x00\x00", "a.txt is not a text file: it contains zero bytes"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "a.jsonl, line 2: expected a JSON object; Expecting value"),
        ("a.jsonl", b'["a"]\n', r'a.jsonl, line 1: expected a JSON object; received \["a"\]'),
        (
            "a.jsonl",
            b'{"body": "a", "id": 1}\n',
            "line 1: no field text; the fields are body, id. Select one with --field",
        ),
        ("a.jsonl", b'{"text": 5}\n', "line 1: text must be a string; received 5"),
    ],
)
def test_errors_name_the_file_and_the_byte_or_line(name, content, message):
    Path(name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(name)


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ("missing", {}, "there is no such file, folder, glob or data set"),
        ("python_doc", {}, "did you mean python_docs?"),
        ("*.txt", {}, "there is no such file"),
        ("empty", {}, "empty has no text files; expected files ending in .txt"),
        ("python_docs", {"encoding": "utf-9"}, "--encoding utf-9 is unknown"),
    ],
)
def test_missing_data_is_refused(data, settings, message):
    Path("empty").mkdir()
    with pytest.raises(UserError, match=message):
        find_corpus(data, **settings)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_json_lines_are_recognized_by_their_content(name):
    Path(name).write_text("\n" + "\n".join(json.dumps({"body": text, "url": "x"}) for text in ("One.", "Two.")))
    assert read(name, field="body") == ["One.", "Two."]


def test_text_that_begins_with_a_brace_is_text_and_an_array_is_refused():
    Path("a.txt").write_text("{a set}\n{another}\n")
    assert read("a.txt") == ["{a set}", "{another}"]
    Path("a.json").write_text('[{"text": "One."}]')
    with pytest.raises(UserError, match="a.json, line 1: expected a JSON object"):
        read("a.json")
