"""The tokenizer of TensorFlow ops against those of the `tokenizers` package and of `transformers`."""

import pydoc_data.topics

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.data.text import vocabulary
from karpa_tf.data.text.tokenizer import WordPiece
from karpa_tf.errors import UserError

NASTY = [
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
    """Real English lines, and as many made of random characters of all planes, letters and marks among them."""
    lines = [line for topic in pydoc_data.topics.topics.values() for line in topic.splitlines() if line.strip()]
    rng = np.random.default_rng(0)
    blocks = [(32, 127), (0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x2000, 0x2070), (0, 0x3100), (0x4E00, 0x4F00)]
    for _ in range(len(lines)):
        low, high = [*blocks, (0x1F300, 0x1F700), (0, 0xD800), (0xE000, 0x30000)][rng.integers(10)]
        codes = rng.integers(low, high, rng.integers(1, 40))
        lines.append(" ".join("".join(map(chr, part)) for part in np.array_split(codes, rng.integers(1, 5))))
    return NASTY + lines


@pytest.fixture(scope="module", params=[(True, True), pytest.param((False, False), marks=pytest.mark.slow)])
def words(request, texts):
    return vocabulary.train_vocabulary(texts[: len(texts) // 2], 1500, *request.param)


def assert_same(words, texts, expected, read_mask=False):
    """Tokenizes texts in batches and compares their ids to the expected, text by text."""
    tokenize = tf.function(WordPiece(words, read_mask), input_signature=[tf.TensorSpec((None,), tf.string)])
    for start in range(0, len(texts), 2000):
        found = tokenize(tf.constant(texts[start : start + 2000])).to_list()
        for text, ours, theirs in zip(texts[start:], found, expected[start : start + 2000], strict=False):
            assert ours == theirs, ascii(text)


def test_pieces_are_those_of_the_tokenizers_package_on_many_nasty_lines(words, texts):
    assert len(texts) > 10_000
    if not words.strip_accents or not words.lowercase:
        texts = texts[: len(NASTY)] + texts[len(NASTY) :: 8]
    expected = [found.ids for found in words.tokenizer().encode_batch(texts, add_special_tokens=False)]
    assert_same(words, texts, expected)
    unknown = words.tokens.index("[UNK]")
    assert np.mean([unknown in ids for ids in expected]) < 0.6  # most of it is known, not just equally unknown


@pytest.fixture
def bert(words, tmp_path):
    """A function that makes the tokenizer of `transformers`, of the vocabulary as it is saved."""
    transformers = pytest.importorskip("transformers")
    words.save(tmp_path / "vocabulary.txt")
    settings = {"do_lower_case": words.lowercase, "strip_accents": words.strip_accents}

    def make(**options):
        tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocabulary.txt"), **settings, **options)
        assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == list(words.tokens)
        return tokenizer

    return make


def test_ids_are_those_of_berts_tokenizer_where_special_tokens_are_text(words, texts, bert):
    expected = bert(split_special_tokens=True)(texts, add_special_tokens=False)["input_ids"]
    assert_same(words, texts, expected)


def test_ids_are_those_of_berts_tokenizer_where_masks_are_read(words, texts, bert):
    # Theirs reads all special tokens that are written, ours only [MASK]: the line with the others is left out.
    rng = np.random.default_rng(1)
    texts = [text for text in texts if not any(name in text for name in vocabulary.SPECIAL)]
    assert len(texts) > 10_000
    for number, text in enumerate(texts):
        for place in rng.integers(0, len(text) + 1, rng.integers(3)):
            text = text[:place] + "[MASK]" + text[place:]
        texts[number] = text
    expected = bert()(texts, add_special_tokens=False)["input_ids"]
    assert_same(words, texts, expected, read_mask=True)
    mask = words.tokens.index("[MASK]")
    assert sum(ids.count(mask) for ids in expected) > 10_000


def test_rows_between_cls_and_sep_are_those_of_berts_tokenizer(words, texts, bert):
    texts = texts[::16]
    expected = bert(split_special_tokens=True)(texts, truncation=True, max_length=12, padding="max_length")
    token_ids, padding_mask = WordPiece(words).packed(tf.constant(texts), 12)
    np.testing.assert_array_equal(token_ids, expected["input_ids"])
    np.testing.assert_array_equal(padding_mask, expected["attention_mask"])


def test_a_written_mask_is_one_only_where_it_is_to_be_read():
    words = vocabulary.train_vocabulary(["the mask of [ zorro ] masked"] * 3, 40)
    ids = {name: words.tokens.index(name) for name in ("[MASK]", "[CLS]")}
    text = tf.constant(["the [MASK] of[MASK]zorro [CLS] [mask]"])
    assert ids["[MASK]"] not in WordPiece(words)(text).to_list()[0]
    (found,) = WordPiece(words, read_mask=True)(text).to_list()
    assert found.count(ids["[MASK]"]) == 2 and ids["[CLS]"] not in found
    assert ids["[MASK]"] not in WordPiece(words, read_mask=True)(tf.constant(["\U0010ffff"])).to_list()[0]


def test_packing_cuts_closes_and_fills_up():
    words = vocabulary.train_vocabulary(["a b c d e f g"] * 3, 12)
    ids, mask = WordPiece(words).packed(tf.constant(["a b c d e f g", "", "b a"]), 5)
    tokens = [[words.tokens[i] for i in row] for row in ids.numpy()]
    assert tokens == [
        ["[CLS]", "a", "b", "c", "[SEP]"],
        ["[CLS]", "[SEP]", "[PAD]", "[PAD]", "[PAD]"],
        ["[CLS]", "b", "a", "[SEP]", "[PAD]"],
    ]
    assert mask.numpy().sum(1).tolist() == [5, 2, 4]


def test_it_is_exported_as_core_ops_and_takes_any_number_of_texts(tmp_path):
    words = vocabulary.train_vocabulary(pydoc_data.topics.topics.values(), 800)

    class Exported(tf.Module):
        def __init__(self):
            super().__init__()
            self.tokenizer = WordPiece(words)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
        def serve(self, text):
            return dict(zip(("token_ids", "padding_mask"), self.tokenizer.packed(text, 16), strict=True))

    module = Exported()
    tf.saved_model.save(module, tmp_path / "model", signatures=module.serve)
    loaded = tf.saved_model.load(tmp_path / "model").signatures["serving_default"]
    for count in (1, 3, 17):
        texts = tf.constant((NASTY * 2)[:count])
        np.testing.assert_array_equal(loaded(text=texts)["token_ids"], module.tokenizer.packed(texts, 16)[0])


def test_a_vocabulary_is_saved_and_loaded_with_its_settings(tmp_path):
    words = vocabulary.train_vocabulary(["Some words, some WORDS."] * 3, 30, lowercase=False, strip_accents=False)
    words.save(tmp_path / "vocabulary.txt")
    assert (tmp_path / "vocabulary.txt").read_text().splitlines()[:6] == [*vocabulary.SPECIAL, words.tokens[5]]
    assert vocabulary.load(tmp_path / "vocabulary.txt") == words and "W" in words.tokens


def test_the_same_text_gives_the_same_vocabulary():
    texts = list(pydoc_data.topics.topics.values())
    assert vocabulary.train_vocabulary(texts, 500) == vocabulary.train_vocabulary(texts, 500)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: vocabulary.train_vocabulary(["few words"], 500), "The text holds .* tokens only; choose"),
        (lambda folder: vocabulary.load(folder / "missing.txt"), "missing.txt cannot be read"),
        (lambda folder: vocabulary.Vocabulary(("a", "b")), r"begins with \[PAD\]"),
        (lambda folder: vocabulary.Vocabulary((*vocabulary.SPECIAL, "a", "a")), "holds a twice"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused(tmp_path, make, says):
    with pytest.raises(UserError, match=says):
        make(tmp_path)
