"""`WordPiece` compared with the `tokenizers` and `transformers` packages, and vocabularies."""

import pydoc_data.topics
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.data.text import vocabulary as vocabularies
from karpa_tf.data.text.labeled_batches import make_token_rows, truncate_pair
from karpa_tf.data.text.tokenizer import WordPiece
from karpa_tf.errors import UserError

HARD_TEXTS = [
    "",
    " ",
    "\t\n\r\x0b\x0c\u00a0\u2003 \u3000",
    "Hello, World!",
    "don't can't won't it's we've I'd 'quoted' \"twice\"",
    "3.14159 1,000,000 £5.99 50% #1 C++ a/b x_y e-mail@example.org",
    "Café naïve coöperate Ångström ÉCOLE crème brûlée",
    "Cafe\u0301 nai\u0308ve A\u030angstro\u0308m",
    "İstanbul ISTANBUL straße STRASSE ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ",
    "日本語の文章です。漢字かな交じり文、中文句子。한국어 문장입니다.",
    "中a文b字",
    "😀 😃👍🏽 👩‍👩‍👧‍👦 🇩🇪 ☃️",
    "a\u0000b\u0001c\u007fd\u200be\ufefff\ufffdg\ue000h",
    "[MASK] [CLS][SEP] [PAD] [UNK] [mask] [MASK]ed",
    "x" * 100 + " " + "y" * 101 + " " + "antidisestablishmentarianism" * 5,
    "﹏＿！？［］｛｝ “curly” ‘single’ —dash– …",
    "עברית العربية हिन्दी ไทย ქართული Ελληνικά Русский",
    "≠ ﬁ ½ ² ™ Ⅷ ㎏ ｆｕｌｌ",
    "\U0001d54c\U0001d55f\U0001d55a \U00020000 \U000e0041 \U0010fffe",
]


@pytest.fixture(scope="module")
def texts():
    """Hard texts, lines of English documentation, and as many lines of random characters of all planes."""
    lines = [line for topic in pydoc_data.topics.topics.values() for line in topic.splitlines() if line.strip()]
    rng = np.random.default_rng(0)
    blocks = [(32, 127), (0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x2000, 0x2070), (0, 0x3100), (0x4E00, 0x4F00)]
    for _ in range(len(lines)):
        low, high = [*blocks, (0x1F300, 0x1F700), (0, 0xD800), (0xE000, 0x30000)][rng.integers(10)]
        codes = rng.integers(low, high, rng.integers(1, 40))
        lines.append(" ".join("".join(map(chr, part)) for part in np.array_split(codes, rng.integers(1, 5))))
    return HARD_TEXTS + lines


@pytest.fixture(scope="module", params=[(True, True), pytest.param((False, False), marks=pytest.mark.slow)])
def vocabulary(request, texts):
    return vocabularies.train_vocabulary(texts[: len(texts) // 2], 1500, *request.param)


def assert_same(vocabulary, texts, expected, read_mask=False):
    """Raises `AssertionError` unless `WordPiece` splits texts into the expected ids."""
    tokenize = tf.function(WordPiece(vocabulary, read_mask), input_signature=[tf.TensorSpec((None,), tf.string)])
    for start in range(0, len(texts), 2000):
        token_ids = tokenize(tf.constant(texts[start : start + 2000])).to_list()
        for text, ours, theirs in zip(texts[start:], token_ids, expected[start : start + 2000], strict=False):
            assert ours == theirs, ascii(text)


def test_ids_equal_those_of_the_tokenizers_package(vocabulary, texts):
    assert len(texts) > 10_000
    if not vocabulary.strip_accents or not vocabulary.lowercase:
        texts = texts[: len(HARD_TEXTS)] + texts[len(HARD_TEXTS) :: 8]
    expected = [encoding.ids for encoding in vocabulary.make_tokenizer().encode_batch(texts, add_special_tokens=False)]
    assert_same(vocabulary, texts, expected)
    unknown = vocabulary.tokens.index("[UNK]")
    assert np.mean([unknown in ids for ids in expected]) < 0.6  # most texts are not just unknown to both


@pytest.mark.slow
@pytest.mark.parametrize("length", [9, 400])
def test_words_are_where_the_tokenizers_package_finds_them(vocabulary, texts, length):
    texts = texts[: len(HARD_TEXTS)] + texts[len(HARD_TEXTS) :: 8]
    texts = [text for text in texts if "\U0010ffff" not in text]
    tokenizer = vocabulary.make_tokenizer()
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    token_ids, _, *words = WordPiece(vocabulary).pack_words(tf.constant(texts), length)
    assert 8 < token_ids.shape[1] <= length
    for row, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
        firsts = [i for i, word in enumerate(encoding.word_ids) if i == 0 or word != encoding.word_ids[i - 1]]
        positions, starts, ends = (values[row].numpy().tolist() for values in words)
        assert positions == [first + 1 for first in firsts if first + 1 < length - 1], ascii(text)
        assert starts == [encoding.offsets[first][0] for first in firsts[: len(starts)]], ascii(text)
        lasts = [encoding.word_to_tokens(encoding.word_ids[first])[1] - 1 for first in firsts[: len(starts)]]
        for end, last in zip(ends, lasts, strict=True):
            # What the package leaves out after a word, such as a combining mark, belongs to it here.
            theirs = encoding.offsets[last][1]
            assert end >= theirs, ascii(text)
            if end > theirs:
                left_out = tokenizer.encode(f"a{text[theirs:end]}", add_special_tokens=False)
                assert left_out.offsets == [(0, 1)], ascii(text)


@pytest.mark.parametrize("length", [8, 9, pytest.param(40, marks=pytest.mark.slow)])
def test_pairs_are_packed_as_by_the_function_for_many_texts(vocabulary, texts, length):
    texts = texts[: len(HARD_TEXTS)] + texts[len(HARD_TEXTS) :: 64]
    pairs = texts[::-1]
    expected, truncated = make_token_rows(texts, vocabulary, length, pairs)
    token_ids, padding_mask = WordPiece(vocabulary).pack_pairs(tf.constant(texts), tf.constant(pairs), length)
    for row, ids in enumerate(expected):
        assert token_ids[row][padding_mask[row]].numpy().tolist() == ids.tolist()
    separator = vocabulary.tokens.index("[SEP]")
    assert all((ids == separator).sum() == 2 and ids[-1] == separator and len(ids) <= length for ids in expected)
    assert 0 < truncated < len(texts)


def test_the_longer_text_of_a_pair_is_truncated_first():
    assert [truncate_pair(*sizes) for sizes in ((9, 2, 7), (2, 9, 7), (9, 9, 7), (3, 4, 7), (0, 9, 7))] == [
        (5, 2), (2, 5), (4, 3), (3, 4), (0, 7)
    ]  # fmt: skip


def test_a_combining_mark_belongs_to_the_word_before_it(vocabulary):
    text = "cafe\u0301 x\u0301, 中"
    *_, starts, ends = WordPiece(vocabulary).pack_words(tf.constant([text]), 99)
    words = [text[start:end] for start, end in zip(starts[0].numpy(), ends[0].numpy(), strict=True)]
    assert words == ["cafe\u0301", "x\u0301", ",", "中"]


@pytest.fixture
def bert(vocabulary, tmp_path):
    """Function that makes a tokenizer of `transformers` from the saved vocabulary."""
    transformers = pytest.importorskip("transformers")
    vocabulary.save(tmp_path / "vocabulary.txt")
    settings = {"do_lower_case": vocabulary.lowercase, "strip_accents": vocabulary.strip_accents}

    def make(**options):
        tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocabulary.txt"), **settings, **options)
        assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == list(vocabulary.tokens)
        return tokenizer

    return make


def test_ids_equal_those_of_berts_tokenizer_if_special_tokens_are_text(vocabulary, texts, bert):
    expected = bert(split_special_tokens=True)(texts, add_special_tokens=False)["input_ids"]
    assert_same(vocabulary, texts, expected)


def test_ids_equal_those_of_berts_tokenizer_if_masks_are_read(vocabulary, texts, bert):
    # BERT's tokenizer reads all special tokens in a text, `WordPiece` only [MASK], so texts with others are removed.
    rng = np.random.default_rng(1)
    texts = [text for text in texts if not any(name in text for name in vocabularies.SPECIAL)]
    assert len(texts) > 10_000
    for index, text in enumerate(texts):
        for position in rng.integers(0, len(text) + 1, rng.integers(3)):
            text = text[:position] + "[MASK]" + text[position:]
        texts[index] = text
    expected = bert()(texts, add_special_tokens=False)["input_ids"]
    assert_same(vocabulary, texts, expected, read_mask=True)
    mask = vocabulary.tokens.index("[MASK]")
    assert sum(ids.count(mask) for ids in expected) > 10_000


def test_packed_rows_equal_those_of_berts_tokenizer(vocabulary, texts, bert):
    texts = texts[::16]
    expected = bert(split_special_tokens=True)(texts, truncation=True, max_length=12, padding="max_length")
    token_ids, padding_mask = WordPiece(vocabulary).pack(tf.constant(texts), 12)
    np.testing.assert_array_equal(token_ids, expected["input_ids"])
    np.testing.assert_array_equal(padding_mask, expected["attention_mask"])


def test_masks_in_text_are_masks_only_with_read_mask():
    vocabulary = vocabularies.train_vocabulary(["the mask of [ zorro ] masked"] * 3, 40)
    ids = {name: vocabulary.tokens.index(name) for name in ("[MASK]", "[CLS]")}
    text = tf.constant(["the [MASK] of[MASK]zorro [CLS] [mask]"])
    assert ids["[MASK]"] not in WordPiece(vocabulary)(text).to_list()[0]
    (token_ids,) = WordPiece(vocabulary, read_mask=True)(text).to_list()
    assert token_ids.count(ids["[MASK]"]) == 2 and ids["[CLS]"] not in token_ids
    assert ids["[MASK]"] not in WordPiece(vocabulary, read_mask=True)(tf.constant(["\U0010ffff"])).to_list()[0]


def test_packing_truncates_adds_special_tokens_and_pads():
    vocabulary = vocabularies.train_vocabulary(["a b c d e f g"] * 3, 12)
    token_ids, padding_mask = WordPiece(vocabulary).pack(tf.constant(["a b c d e f g", "", "b a"]), 5)
    tokens = [[vocabulary.tokens[i] for i in row] for row in token_ids.numpy()]
    assert tokens == [
        ["[CLS]", "a", "b", "c", "[SEP]"],
        ["[CLS]", "[SEP]", "[PAD]", "[PAD]", "[PAD]"],
        ["[CLS]", "b", "a", "[SEP]", "[PAD]"],
    ]
    assert padding_mask.numpy().sum(1).tolist() == [5, 2, 4]


def test_a_saved_model_tokenizes_any_number_of_texts(tmp_path):
    vocabulary = vocabularies.train_vocabulary(pydoc_data.topics.topics.values(), 800)

    class Exported(tf.Module):
        def __init__(self):
            super().__init__()
            self.tokenizer = WordPiece(vocabulary)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
        def serve(self, text):
            return dict(zip(("token_ids", "padding_mask"), self.tokenizer.pack(text, 16), strict=True))

    module = Exported()
    tf.saved_model.save(module, tmp_path / "model", signatures=module.serve)
    loaded = tf.saved_model.load(tmp_path / "model").signatures["serving_default"]
    for count in (1, 3, 17):
        texts = tf.constant((HARD_TEXTS * 2)[:count])
        np.testing.assert_array_equal(loaded(text=texts)["token_ids"], module.tokenizer.pack(texts, 16)[0])


def test_there_are_no_tokens_without_settings_if_a_program_is_killed(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(vocabularies, "write_text", lambda path, text: written.append(path.name))
    vocabularies.Vocabulary(vocabularies.SPECIAL).save(tmp_path / "vocabulary.txt")
    assert written == ["vocabulary.json", "vocabulary.txt"]


def test_a_vocabulary_is_saved_with_its_settings(tmp_path):
    vocabulary = vocabularies.train_vocabulary(
        ["Some words, some WORDS."] * 3, 30, lowercase=False, strip_accents=False
    )
    vocabulary.save(tmp_path / "vocabulary.txt")
    assert (tmp_path / "vocabulary.txt").read_text().splitlines()[:6] == [*vocabularies.SPECIAL, vocabulary.tokens[5]]
    assert vocabularies.load(tmp_path / "vocabulary.txt") == vocabulary and "W" in vocabulary.tokens


def test_the_same_text_gives_the_same_vocabulary():
    texts = list(pydoc_data.topics.topics.values())
    assert vocabularies.train_vocabulary(texts, 500) == vocabularies.train_vocabulary(texts, 500)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: vocabularies.train_vocabulary(["few words"], 500), "The text has only .* tokens; choose"),
        (lambda folder: vocabularies.load(folder / "missing.txt"), "missing.txt cannot be read"),
        (lambda folder: vocabularies.Vocabulary(("a", "b")), r"starts with \[PAD\]"),
        (lambda folder: vocabularies.Vocabulary((*vocabularies.SPECIAL, "a", "a")), "has a twice"),
    ],
)
def test_invalid_vocabularies_are_refused(tmp_path, make, message):
    with pytest.raises(UserError, match=message):
        make(tmp_path)


@pytest.mark.parametrize(("ending", "last"), [("\n", "\n"), ("\n", ""), ("\r\n", "\r\n")])
def test_a_vocabulary_file_of_bert_is_read_with_or_without_a_final_newline(ending, last):
    words = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "##s"]
    Path("vocab.txt").write_bytes((ending.join(words) + last).encode())
    vocabulary = vocabularies.load("vocab.txt")
    assert vocabulary.tokens == (*vocabularies.SPECIAL, "[unused1]", "the", "##s")
    assert vocabulary.lowercase and vocabulary.strip_accents
    Path("cased.txt").write_text("\n".join([*words, "The"]))
    assert not vocabularies.load("cased.txt").lowercase


def test_a_file_that_is_no_vocabulary_is_refused():
    Path("a.txt").write_text("one\ntwo\n")
    with pytest.raises(UserError, match=r"a.txt has no \[PAD\]; expected one token per line"):
        vocabularies.load("a.txt")
