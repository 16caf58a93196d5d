"""Texts with spans: formats, schemes, splits, and the tags of words."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from exported_models import VOCABULARY

from karpa_tf.data.text.tagged import TaggedSet, load_tagged_splits
from karpa_tf.data.text.tagged_batches import (
    make_evaluation_tagged_batches,
    make_tagged_batches,
    make_tagged_rows,
)
from karpa_tf.data.text.tagged_files import Span, parse_tags, read_tagged_texts
from karpa_tf.data.text.tags import count_tags, find_best_tags, find_spans, tag_words
from karpa_tf.errors import UserError

SPANS = [(0, 2, "PER"), (2, 3, "PER"), (4, 5, "LOC"), (5, 6, "ORG")]
"""Two persons beside each other, and two single tokens beside each other, of seven tokens."""

SCHEMES = {
    "bio": "B-PER I-PER B-PER O B-LOC B-ORG O",
    "iob1": "I-PER I-PER B-PER O I-LOC I-ORG O",
    "bioes": "B-PER E-PER S-PER O S-LOC S-ORG O",
    "bilou": "B-PER L-PER U-PER O U-LOC U-ORG O",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_stands_for_the_same_spans(scheme):
    assert parse_tags(SCHEMES[scheme].split()) == SPANS


def test_tags_that_are_no_spans_are_types_of_single_tokens():
    assert parse_tags(["DET", "NOUN", "NOUN"], False) == [(0, 1, "DET"), (1, 2, "NOUN"), (2, 3, "NOUN")]
    with pytest.raises(UserError, match="line 3: expected O or a tag such as B-PER or I-PER; received NOUN"):
        parse_tags(["B-PER", "NOUN"], location="line 3")


def test_the_form_of_tags_is_that_of_the_whole_file(tmp_path):
    file = tmp_path / "train.conll"
    file.write_text("a B-X\n\nb _\nc _\n")
    with pytest.raises(UserError, match=r"lines 3 to 4: expected O or a tag such as B-PER or I-PER; received _"):
        read_tagged_texts(file)


def test_columns_are_joined_by_spaces(tmp_path):
    file = tmp_path / "eng.train"
    file.write_text("-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\nEkeus NNP I-NP I-PER\n\n# x O O\n")
    assert read_tagged_texts(file) == [
        ("U.N. official Ekeus", (Span(0, 4, "ORG"), Span(14, 19, "PER"))),
        ("#", ()),
    ]
    assert read_tagged_texts(file, tag_column=3)[0][1] == (Span(0, 19, "NP"),)


def test_tokens_that_look_like_numbers_of_conll_u_are_kept(tmp_path):
    file = tmp_path / "eng.train"
    file.write_text("Ajax NNP I-NP I-ORG\n2-1 CD I-NP O\n\n3.5 CD I-NP O\n\n1996-97 CD I-NP I-MISC\n")
    assert [text for text, _ in read_tagged_texts(file)] == ["Ajax 2-1", "3.5", "1996-97"]
    file.write_text("3-1 CD I-NP O\n")
    assert read_tagged_texts(file) == [("3-1", ())]
    file.write_text("2-1 CD I-NP O\n2 CD I-NP O\nAjax NNP I-NP I-ORG\n2 CD I-NP O\n2.5 CD I-NP O\n")
    assert [text for text, _ in read_tagged_texts(file)] == ["2-1 2 Ajax 2 2.5"]


def test_lines_of_conll_u_that_are_no_words_are_skipped_whatever_the_numbers_of_other_sentences(tmp_path):
    file = tmp_path / "train.conllu"
    file.write_text(
        "1-2\tim\n1\tin\tADP\n2\tdem\tDET\n2.1\t_\t_\n2.2\t_\t_\n\n1\ta\tX\n3\tb\tX\n\n0.1\t_\t_\n1\tc\tX\n"
    )
    assert [text for text, _ in read_tagged_texts(file, token_column=2)] == ["in dem", "a b", "c"]


def test_comments_before_sentences_are_skipped(tmp_path):
    file = tmp_path / "train.conll"
    file.write_text("# id 7\tdomain=en\nAnna\tB-PER\n\n# id 8\tdomain=en\n#\tO\nx\tO\n")
    assert read_tagged_texts(file) == [("Anna", (Span(0, 4, "PER"),)), ("# x", ())]


CONLL_U = """# sent_id = 1
# text = New Yorks sea.
1\tNew\tnew\tPROPN
2-3\tYorks\t_\t_
2\tYork\tYork\tPROPN
3\ts\ts\tPART
4\tsea\tsea\tNOUN

1\t10 000\t10 000\tNUM
1.1\tx\tx\tX
"""


def test_numbers_of_tokens_are_no_tokens(tmp_path):
    file = tmp_path / "en-train.conllu"
    file.write_text(CONLL_U)
    assert [text for text, _ in read_tagged_texts(file)] == ["New York s sea", "10 000"]
    assert read_tagged_texts(file)[1][1] == (Span(0, 6, "NUM"),)
    assert read_tagged_texts(file, token_column=1)[0][0] == "1 2 3 4"
    with pytest.raises(UserError, match="has columns 1 to 4; received --token-column 5"):
        read_tagged_texts(file, token_column=5)
    file.write_text("1 CD\n2 CD\n")  # of two columns the first is the token
    assert read_tagged_texts(file)[0][0] == "1 2"
    file.write_text("# SYM\n1 CD\n")
    assert read_tagged_texts(file)[0][0] == "# 1"


def test_objects_are_read_whatever_the_name_of_the_file(tmp_path):
    file = tmp_path / "train.json"
    file.write_text('\n{"text": "Anna", "spans": [[0, 4, "PER"]]}\n')
    assert read_tagged_texts(file) == [("Anna", (Span(0, 4, "PER"),))]


def test_spaces_at_the_ends_of_spans_and_tokens_without_tags_are_left_out(tmp_path):
    file = tmp_path / "train.jsonl"
    tokens = [{"text": "Anna", "start": 0, "end": 4}]
    rows = [
        {"text": "in Paris , ", "spans": [[2, 9, "LOC"]]},
        {"text": "Anna", "tokens": tokens, "spans": [{"start": 0, "end": 4, "label": "PER"}]},
        {"tokens": ["", "Anna"], "tags": ["B-X", "O"]},
        {"text": "a\ud83d b", "spans": [[3, 4, "X"]]},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_tagged_texts(file) == [
        ("in Paris , ", (Span(3, 8, "LOC"),)),
        ("Anna", (Span(0, 4, "PER"),)),
        ("Anna", ()),
        ("a\ufffd b", (Span(3, 4, "X"),)),
    ]


LINES = [
    {
        "text": "Anna in Paris",
        "spans": [{"start": 8, "end": 13, "label": "LOC"}, {"start": 0, "end": 4, "type": "PER"}],
    },
    {"text": "Anna in Paris", "entities": [[0, 4, "PER"], [8, 13, "LOC"]]},
    {"tokens": ["Anna", "in", "Paris"], "ner_tags": ["B-PER", "O", "B-LOC"]},
]


@pytest.mark.parametrize("line", LINES)
def test_json_lines_of_three_forms_say_the_same(line, tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps(line) + "\n")
    assert read_tagged_texts(file) == [("Anna in Paris", (Span(0, 4, "PER"), Span(8, 13, "LOC")))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"text": "ab", "spans": [[0, 3, "X"]]}',
            "line 1: expected a span of start, end and label within a text of 2",
        ),
        ('{"text": "ab", "spans": [[1, 1, "X"]]}', "line 1: expected a span of start, end and label"),
        ('{"text": "ab", "spans": [[0, 1, 7]]}', "line 1: expected a span"),
        ('{"text": "abc", "spans": [[0, 2, "X"], [1, 3, "Y"]]}', "'ab' and 'bc' overlap"),
        ('{"text": "ab", "body": 1}', "the keys are text, body"),
        ('{"tokens": ["a"], "tags": ["O", "O"]}', "expected a list of tokens and one of as many tags"),
        ('{"tokens": ["a"], "ner_tags": [3]}', "all of them strings"),
    ],
)
def test_lines_that_cannot_be_read_are_named(content, message, tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text(content)
    with pytest.raises(UserError, match=message.replace("[", r"\[").replace("(", r"\(")):
        read_tagged_texts(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb\n", "line 2: 1 column; expected at least 2"),
        ("a x O\nb O\n", "line 2: 2 columns; expected 3, a token and its tag"),
        ("a B-X\nb I\n", "lines 1 to 2: expected O or a tag"),
    ],
)
def test_columns_that_cannot_be_read_are_named(content, message, tmp_path):
    file = tmp_path / "train.conll"
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_tagged_texts(file)


def write_conll(file, sentences):
    file.write_text("".join(f"{token} {tag}\n" if token else "\n" for token, tag in sentences))


def test_splits_are_found_by_the_words_in_their_names(tmp_path):
    for name, word in {"eng.train": "Anna", "eng.testa": "Bert", "eng.testb": "Carl", "README.md": "x"}.items():
        write_conll(tmp_path / name, [(word, "B-PER"), ("", "")])
    splits = load_tagged_splits(tmp_path, {})
    assert {name: split.texts for name, split in splits.items()} == {
        "train": ("Anna",),
        "validation": ("Bert",),
        "test": ("Carl",),
    }
    (tmp_path / "train.conll").write_text("x O\n")
    with pytest.raises(UserError, match=r"two files of the train split: eng.train, train.conll"):
        load_tagged_splits(tmp_path, {})


def test_splits_that_do_not_exist_are_held_out_by_the_texts(tmp_path):
    sentences = [row for index in range(100) for row in ((f"a{index}", "B-X" if index % 2 else "O"), ("", ""))]
    write_conll(tmp_path / "train.conll", sentences)
    splits = load_tagged_splits(tmp_path / "train.conll", {})
    assert {name: len(split) for name, split in splits.items()} == {"train": 72, "validation": 8, "test": 20}
    assert {text for split in splits.values() for text in split.texts} == {f"a{index}" for index in range(100)}
    assert splits["test"].count_spans() == {"X": 10}
    assert load_tagged_splits(tmp_path, {})["test"].texts == splits["test"].texts


def test_what_no_tagger_can_be_trained_on_is_refused(tmp_path):
    write_conll(tmp_path / "train.conll", [("a", "O")])
    with pytest.raises(UserError, match="the 1 training texts have no spans to find"):
        load_tagged_splits(tmp_path, {})
    write_conll(tmp_path / "train.conll", [("a", "B-X")])
    write_conll(tmp_path / "test.conll", [("a", "B-Y")])
    with pytest.raises(UserError, match="has a type of spans that the training texts do not have: Y"):
        load_tagged_splits(tmp_path, {})
    with pytest.raises(UserError, match="there is no such file"):
        load_tagged_splits(tmp_path / "missing", {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no training file"):
        load_tagged_splits(tmp_path / "empty", {})


def test_words_take_the_tag_of_the_first_span_that_they_touch():
    starts, ends = [0, 3, 6, 9, 12], [2, 5, 8, 11, 14]
    spans = (Span(0, 5, "b"), Span(7, 8, "a"), Span(9, 11, "a"))
    assert tag_words(starts, ends, spans, ("a", "b")) == [3, 4, 1, 1, 0]


TEXTS = ("the list of a cat. U.S. list", "a 中 b")


def test_rows_have_the_words_and_tags_of_the_tokenizer():
    tagged_set = TaggedSet(
        "x", TEXTS, ((Span(4, 8, "B"), Span(14, 17, "A"), Span(19, 23, "A")), (Span(2, 3, "A"),)), ("A", "B")
    )
    rows = make_tagged_rows(tagged_set, VOCABULARY, 40)
    words = [
        [text[start:end] for start, end in zip(starts, ends, strict=True)]
        for text, starts, ends in zip(TEXTS, rows.starts, rows.ends, strict=True)
    ]
    assert words[0] == ["the", "list", "of", "a", "cat", ".", "U", ".", "S", ".", "list"]
    assert rows.tags[0].tolist() == [0, 3, 0, 0, 1, 0, 1, 2, 2, 2, 0] and rows.tags[1].tolist() == [0, 1, 0]
    ids = [VOCABULARY.tokens[rows.token_ids[0][position]] for position in rows.positions[0]]
    assert [token[0] for token in ids if token[0] != "["] == ["t", "l", "o", "a", "c", ".", "u", ".", "s", ".", "l"]
    assert (rows.truncated, rows.within_words) == (0, 0)
    # Of a truncated text, words whose first token is left out are left out.
    short = make_tagged_rows(tagged_set, VOCABULARY, 6)
    assert [len(row) for row in short.tags] == [3, 3] and short.truncated == 1
    # A word that is cut within itself is counted, and a text that just fits is not.
    cut = TaggedSet("x", ("a zzzz",), ((),), ("A",))
    assert [make_tagged_rows(cut, VOCABULARY, length).truncated for length in (6, 7, 8)] == [1, 0, 0]
    inside = TaggedSet("x", ("list",), ((Span(0, 2, "A"),),), ("A", "B"))
    assert make_tagged_rows(inside, VOCABULARY, 40).within_words == 1


def make_rows(count=10):
    texts = tuple(" ".join(["list"] * (1 + index % 4)) for index in range(count))
    return make_tagged_rows(TaggedSet("x", texts, ((Span(0, 4, "A"),),) * count, ("A",)), VOCABULARY, 40)


def test_batches_have_every_word_once_with_its_tag():
    rows = make_rows()
    seen = []
    for inputs, targets, weights in make_evaluation_tagged_batches(rows, 3, 4).as_numpy_iterator():
        assert inputs["word_positions"].shape == weights.shape == targets.shape[:2] and targets.shape[2] == 3
        assert ((inputs["token_ids"] != 0) == inputs["padding_mask"]).all()
        for row in range(4):
            words = weights[row] > 0
            if words.any():
                seen.append(targets[row][words].argmax(1).tolist())
                positions = inputs["word_positions"][row][words]
                assert (inputs["token_ids"][row][positions] == VOCABULARY.tokens.index("list")).all()
    assert seen == [row.tolist() for row in rows.tags]


def test_an_epoch_has_every_text_once_and_any_step_can_be_the_first():
    rows = make_rows()
    batches = list(itertools.islice(make_tagged_batches(rows, 3, 5, seed=1).as_numpy_iterator(), 4))
    sizes = sorted(int(weights.sum()) for batch in batches[:2] for weights in batch[2])
    assert sizes == sorted(len(row) for row in rows.tags)
    later = next(make_tagged_batches(rows, 3, 5, seed=1, first_step=3).as_numpy_iterator())
    np.testing.assert_array_equal(later[0]["token_ids"], batches[3][0]["token_ids"])


def find_by_trying(log_probabilities):
    """Returns the most probable legal tags of one text by trying all of them."""
    words, tags = log_probabilities.shape
    legal = [
        sequence
        for sequence in itertools.product(range(tags), repeat=words)
        if all(tag == 0 or tag % 2 or (i and sequence[i - 1] in (tag - 1, tag)) for i, tag in enumerate(sequence))
    ]
    return max(legal, key=lambda sequence: sum(log_probabilities[range(words), sequence]))


def test_the_best_tags_are_the_most_probable_legal_ones():
    rng = np.random.default_rng(0)
    log_probabilities = tf.nn.log_softmax(2 * rng.normal(size=(30, 5, 5)).astype(np.float32)).numpy()
    lengths = rng.integers(0, 6, 30)
    found = find_best_tags(log_probabilities, lengths).numpy()
    for row, length in enumerate(lengths):
        expected = [*find_by_trying(log_probabilities[row, :length]), *[0] * (5 - length)]
        assert found[row].tolist() == expected
    assert find_best_tags(log_probabilities[:, :0], lengths * 0).shape == (30, 0)


def test_spans_are_those_of_the_tags_with_their_mean_probability():
    logits = np.full((2, 4, count_tags(2)), -9.0, np.float32)
    for row, tags in enumerate([[3, 4, 1, 0], [1, 1, 0, 0]]):
        logits[row, range(4), tags] = 0
    logits[0, 1, 0] = -1
    starts = tf.ragged.constant([[0, 3, 6, 9], [0, 5]], dtype=tf.int32)
    ends = tf.ragged.constant([[2, 5, 8, 11], [4, 7]], dtype=tf.int32)
    start, end, kind, score = find_spans(logits, starts, ends)
    assert [x.to_list() for x in (start, end, kind)] == [[[0, 6], [0, 5]], [[5, 8], [4, 7]], [[1, 0], [0, 0]]]
    p = tf.nn.softmax(logits).numpy()
    assert score[0][0].numpy() == pytest.approx((p[0, 0, 3] + p[0, 1, 4]) / 2)
