"""Exported language models: every signature against the Python pipeline, and against a process without Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.data.text.labeled_batches import evaluation_text_batches, token_rows
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.evaluation.classification import text_scores
from karpa_tf.export.masked_lm import TOP, make_masked_lm_export
from karpa_tf.export.text_classifier import make_text_classifier_export
from karpa_tf.export.versions import write
from karpa_tf.models.bert import (
    extract_encoder,
    extract_masked_lm,
    make_encoder,
    make_masked_lm,
    make_pretraining,
    make_text_classifier,
)

CONFIG = BERTConfig(
    max_sequence_length=16, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16, num_segments=2
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = Vocabulary((*SPECIAL, "the", "list", *LETTERS, *(f"##{x}" for x in LETTERS), ".", "!", "[", "]", "中"))
LENGTH = CONFIG.max_sequence_length
TEXTS = [
    "The [MASK] of a list.",
    "",
    "[MASK] [MASK]! no é more",
    "word " * 30,
    "[MASK] " * 30,
    "中 [CLS] [SEP] \u200b tab\t[mask]",
    "unknown ☃ [MASK]",
]


def shaken(model):
    for place, weight in enumerate(model.weights):
        weight.assign(weight + 0.5 * keras.random.normal(weight.shape, seed=place))
    return model


@pytest.fixture(scope="module", params=[make_masked_lm, pytest.param(make_pretraining, marks=pytest.mark.slow)])
def exported(request, tmp_path_factory):
    """(folder of the version, model)."""
    keras.utils.set_random_seed(0)
    model = shaken(request.param(CONFIG, make_encoder(CONFIG, len(VOCABULARY))))
    return write(tmp_path_factory.mktemp("models") / "bert", make_masked_lm_export(model, VOCABULARY, LENGTH)), model


def row_of(text):
    """The ids that the `tokenizers` package gives a text, where a written [MASK] is one."""
    ids = []
    for number, part in enumerate(text.split("[MASK]")):
        ids += [SPECIAL.index("[MASK]")] * (number > 0)
        ids += VOCABULARY.tokenizer().encode(part, add_special_tokens=False).ids
    return [SPECIAL.index("[CLS]"), *ids[: LENGTH - 2], SPECIAL.index("[SEP]")]


def inputs_for(row):
    ids = np.array([row], np.int32)
    return {"token_ids": ids, "padding_mask": ids != 0, "segment_ids": np.zeros_like(ids)}


def probabilities(logits):
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


@pytest.mark.parametrize("count", [1, 3, 17])
def test_text_gives_the_likeliest_tokens_of_every_blank(exported, count):
    folder, model = exported
    texts = (TEXTS * 3)[:count]
    answer = tf.saved_model.load(folder).signatures["serving_default"](text=tf.constant(texts))
    answer = {name: value.numpy() for name, value in answer.items()}
    rows = [row_of(text) for text in texts]
    places = [[i for i, token in enumerate(row) if token == SPECIAL.index("[MASK]")] for row in rows]
    blanks = max(map(len, places))
    assert answer["tokens"].shape == answer["scores"].shape == (count, blanks, TOP)
    for number, (row, wanted) in enumerate(zip(rows, places, strict=True)):
        assert answer["positions"][number].tolist() == wanted + [-1] * (blanks - len(wanted))
        assert (answer["tokens"][number, len(wanted) :] == b"").all()
        assert (answer["scores"][number, len(wanted) :] == 0).all()
        if wanted:
            positions = {"mask_positions": np.array([wanted], np.int32)}
            expected = probabilities(np.array(extract_masked_lm(model)(inputs_for(row) | positions))[0])
            best = np.argsort(-expected, axis=-1)[:, :TOP]
            found = answer["scores"][number, : len(wanted)]
            np.testing.assert_allclose(found, np.take_along_axis(expected, best, -1), atol=1e-5)
            assert answer["tokens"][number, 0, 0].decode() == VOCABULARY.tokens[best[0, 0]]


def test_ids_give_logits_at_the_places_that_are_asked_for(exported):
    folder, model = exported
    rows = [row_of(text) for text in ("the list of a", "a b c d", "the")]
    ids = np.array([row + [0] * (12 - len(row)) for row in rows], np.int32)
    positions = np.array([[1, 4], [0, 3], [2, 2]], np.int32)
    served = tf.saved_model.load(folder).signatures["token_ids"](
        token_ids=tf.constant(ids), mask_positions=tf.constant(positions)
    )
    inputs = {"token_ids": ids, "padding_mask": ids != 0, "segment_ids": np.zeros_like(ids)}
    expected = extract_masked_lm(model)(inputs | {"mask_positions": positions})
    np.testing.assert_allclose(served["logits"], expected, atol=1e-5)


def test_an_embedding_is_the_mean_of_the_features_alone_and_in_company(exported):
    folder, model = exported
    embed = tf.saved_model.load(folder).signatures["embed"]
    together = embed(text=tf.constant(TEXTS))["embedding"].numpy()
    for text, row in zip(TEXTS, together, strict=True):
        expected = np.array(extract_encoder(model)(inputs_for(row_of(text)))).mean(1)[0]
        np.testing.assert_allclose(row, expected, atol=1e-5)
        np.testing.assert_allclose(embed(text=tf.constant([text]))["embedding"][0], row, atol=1e-5)


CLASSES = ("bad", "good", "日本")


def test_a_text_classifier_scores_text_as_the_pipeline_does(tmp_path):
    model = shaken(make_text_classifier(CONFIG, make_encoder(CONFIG, len(VOCABULARY)), len(CLASSES)))
    folder = write(tmp_path / "texts", make_text_classifier_export(model, VOCABULARY, LENGTH, CLASSES))
    texts = [text for text in TEXTS if "[MASK]" not in text] + ["the mask [MASK]"]
    rows, cut = token_rows(texts, VOCABULARY, LENGTH)
    assert cut == 2 and max(map(len, rows)) == LENGTH
    batches = evaluation_text_batches(rows, np.zeros(len(rows), np.int32), len(CLASSES), 3)
    expected = text_scores(model, batches, len(rows))
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    answer = serve(text=tf.constant(texts))
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert [[name.decode() for name in row] for row in answer["classes"].numpy()] == [list(CLASSES)] * len(texts)
    for text, row in zip(texts, expected, strict=True):
        np.testing.assert_allclose(serve(text=tf.constant([text]))["scores"][0], row, atol=1e-5)
