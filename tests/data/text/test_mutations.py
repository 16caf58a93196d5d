"""Damaged tables and texts are data or refusals that name the file, and never another error.

KARPA_TEST_MUTATIONS=5000 tries more of them.
"""

import csv
import io
import json
import os
import random
from pathlib import Path

import pytest

from karpa_tf.data.text.corpus import find_corpus
from karpa_tf.data.text.labeled import load_text_splits
from karpa_tf.data.text.tables import Columns
from karpa_tf.errors import UserError

COUNT, SEED = int(os.environ.get("KARPA_TEST_MUTATIONS", "500")), 0
WORDS = [
    "a good film",
    'he said "no"',
    "naïve café",
    "猫",
    "",
    " ",
    "x,y",
    "tab\there",
    "line\nbreak",
    "²",
    "-1",
    "null",
    "0",
]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"]
PIECES = [b"\0", b'"', b'""', b",", b"\t", b"\r", b"\n", b"\r\n", b"\x0b", b"\xff\xfe", b"\xed\xa0\x80", b"\\u0000"]
PIECES += [
    b"{",
    b"}",
    b"[[[[",
    b"null",
    b"1e999",
    b"NaN",
    b"\xc3",
    b"\xe2\x80\xa8",
    b"text,label\n",
    b'"' * 7,
    b"9" * 5000,
]


def make_sample(rng):
    """Returns (suffix, content) of an undamaged table, JSON lines or text."""
    rows = [(rng.choice(WORDS) + f" {number}", rng.choice("abc")) for number in range(rng.randint(1, 30))]
    suffix = rng.choice([".csv", ".tsv", ".jsonl", ".txt"])
    if suffix == ".jsonl":
        text = "\n".join(
            json.dumps({"text": text, "label": label}, ensure_ascii=rng.random() < 0.5) for text, label in rows
        )
    elif suffix == ".txt":
        text = rng.choice(["\n", "\n\n"]).join(text for text, _ in rows)
    else:
        buffer = io.StringIO()
        table = csv.writer(
            buffer, delimiter="," if suffix == ".csv" else "\t", lineterminator=rng.choice(["\n", "\r\n"])
        )
        table.writerows([("text", "label")] * rng.choice([0, 1]) + rows)
        text = buffer.getvalue()
    return suffix, text.encode(rng.choice(ENCODINGS), "replace")


def mutate(rng, data):
    """Returns content with a few bits flipped, or parts of it cut off, moved, repeated or put in."""
    data = bytearray(data)
    for _ in range(rng.randint(0, 6)):
        start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        way = rng.randrange(6)
        if way == 0 and data:
            data[min(start, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif way == 1:
            del data[end:]
        elif way == 2:
            del data[start : min(end, start + 20)]
        elif way == 3:
            data[end:end] = data[start:end] * rng.choice([1, 1, 40])
        else:
            data[start:start] = rng.choice(PIECES)
    return bytes(data)


def read(file, encoding):
    """Returns the number of texts in a file, as labeled texts if it is a table and as documents if not."""
    if file.suffix == ".txt":
        return sum(1 for document in find_corpus(str(file), encoding=encoding).read() if document.strip())
    splits = load_text_splits(str(file), Columns(encoding=encoding), 0.1, 0.1)
    assert all(
        text and split.classes[label]
        for split in splits.values()
        for text, label in zip(split.texts, split.labels, strict=True)
    )
    return sum(map(len, splits.values()))


@pytest.mark.slow
def test_every_damaged_table_and_text_is_read_or_refused_by_its_name():
    outcomes = {"read": 0, "refused": 0}
    for number in range(COUNT):
        rng = random.Random(f"{SEED} {number}")
        suffix, data = make_sample(rng)
        file = Path(f"case-{number}{suffix}")
        file.write_bytes(mutate(rng, data))
        try:
            assert read(file, rng.choice(["utf-8", "utf-8", "utf-16", "latin-1"])) > 0
            outcomes["read"] += 1
        except UserError as error:
            assert file.name in str(error) and len(str(error)) < 1000, error
            outcomes["refused"] += 1
        file.unlink()
    print(outcomes)
    assert min(outcomes.values()) > COUNT / 10
