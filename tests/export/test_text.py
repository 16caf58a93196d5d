"""Exported language models: every signature against the Python pipeline."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.data.text.labeled_batches import make_evaluation_text_batches, make_token_rows
from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.evaluation.classification import compute_text_probabilities
from karpa_tf.export.masked_lm import TOP_K, make_masked_lm_export
from karpa_tf.export.text_classifier import make_text_classifier_export
from karpa_tf.export.text_inputs import TextInputs
from karpa_tf.export.versions import load_version, write
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
CLASSES = ("bad", "good", "日本")


def randomize(model):
    for index, weight in enumerate(model.weights):
        weight.assign(weight + 0.5 * keras.random.normal(weight.shape, seed=index))
    return model


@pytest.fixture(scope="module", params=[make_masked_lm, pytest.param(make_pretraining, marks=pytest.mark.slow)])
def exported(request, tmp_path_factory):
    """(loaded signatures, model)."""
    keras.utils.set_random_seed(0)
    model = randomize(request.param(CONFIG, make_encoder(CONFIG, len(VOCABULARY))))
    export = make_masked_lm_export(model, VOCABULARY, LENGTH, task="masked language model")
    return load_version(write(tmp_path_factory.mktemp("models") / "bert", export)), model


def tokenize(text):
    """Returns the token ids of a text by the `tokenizers` package, where [MASK] is one token."""
    ids = []
    for number, part in enumerate(text.split("[MASK]")):
        ids += [SPECIAL.index("[MASK]")] * (number > 0)
        ids += VOCABULARY.make_tokenizer().encode(part, add_special_tokens=False).ids
    return [SPECIAL.index("[CLS]"), *ids[: LENGTH - 2], SPECIAL.index("[SEP]")]


def make_inputs(rows):
    """Returns the inputs of the model for lists of token ids."""
    token_ids = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for index, row in enumerate(rows):
        token_ids[index, : len(row)] = row
    return {"token_ids": token_ids, "padding_mask": token_ids != 0, "segment_ids": np.zeros_like(token_ids)}


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


@pytest.mark.parametrize("batch_size", [1, 3, 17])
def test_text_is_mapped_to_the_most_probable_tokens_of_every_mask(exported, batch_size):
    signatures, model = exported
    texts = (TEXTS * 3)[:batch_size]
    outputs = signatures["serving_default"](text=tf.constant(texts))
    outputs = {name: value.numpy() for name, value in outputs.items()}
    rows = [tokenize(text) for text in texts]
    positions = [[i for i, token in enumerate(row) if token == SPECIAL.index("[MASK]")] for row in rows]
    masks = max(map(len, positions))
    assert outputs["tokens"].shape == outputs["scores"].shape == (batch_size, masks, TOP_K)
    for number, (row, expected_positions) in enumerate(zip(rows, positions, strict=True)):
        count = len(expected_positions)
        assert outputs["positions"][number].tolist() == expected_positions + [-1] * (masks - count)
        assert (outputs["tokens"][number, count:] == b"").all()
        assert (outputs["scores"][number, count:] == 0).all()
        if expected_positions:
            inputs = make_inputs([row]) | {"mask_positions": np.array([expected_positions], np.int32)}
            probabilities = softmax(np.array(extract_masked_lm(model)(inputs))[0])
            best = np.argsort(-probabilities, axis=-1)[:, :TOP_K]
            scores = outputs["scores"][number, :count]
            np.testing.assert_allclose(scores, np.take_along_axis(probabilities, best, -1), atol=1e-5)
            assert outputs["tokens"][number, 0, 0].decode() == VOCABULARY.tokens[best[0, 0]]


def test_token_ids_are_mapped_to_logits_at_the_mask_positions(exported):
    signatures, model = exported
    inputs = make_inputs([tokenize(text) for text in ("the list of a", "a b c d", "the")])
    token_ids = np.pad(inputs["token_ids"], ((0, 0), (0, 12 - inputs["token_ids"].shape[1])))
    positions = np.array([[1, 4], [0, 3], [2, 2]], np.int32)
    outputs = signatures["token_ids"](token_ids=tf.constant(token_ids), mask_positions=tf.constant(positions))
    expected = extract_masked_lm(model)(make_inputs(token_ids) | {"mask_positions": positions})
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)


def test_an_embedding_is_the_mean_over_the_tokens_for_any_batch(exported):
    signatures, model = exported
    embed = signatures["embed"]
    embeddings = embed(text=tf.constant(TEXTS))["embedding"].numpy()
    for text, embedding in zip(TEXTS, embeddings, strict=True):
        expected = np.array(extract_encoder(model)(make_inputs([tokenize(text)]))).mean(1)[0]
        np.testing.assert_allclose(embedding, expected, atol=1e-5)
        np.testing.assert_allclose(embed(text=tf.constant([text]))["embedding"][0], embedding, atol=1e-5)


def test_a_text_classifier_returns_the_probabilities_of_the_python_pipeline(tmp_path):
    model = randomize(make_text_classifier(CONFIG, len(VOCABULARY), len(CLASSES)))
    export = make_text_classifier_export(model, TextInputs(VOCABULARY, LENGTH), CLASSES, task="text classification")
    classify = load_version(write(tmp_path / "texts", export))["serving_default"]
    texts = [text for text in TEXTS if "[MASK]" not in text] + ["the mask [MASK]"]
    rows, truncated = make_token_rows(texts, VOCABULARY, LENGTH)
    assert truncated == 2 and max(map(len, rows)) == LENGTH
    batches = make_evaluation_text_batches(rows, np.zeros(len(rows), np.int32), len(CLASSES), 3)
    expected = compute_text_probabilities(model, batches, len(rows))
    outputs = classify(text=tf.constant(texts))
    np.testing.assert_allclose(outputs["scores"], expected, atol=1e-5)
    assert [[name.decode() for name in row] for row in outputs["classes"].numpy()] == [list(CLASSES)] * len(texts)
    for text, row in zip(texts, expected, strict=True):
        np.testing.assert_allclose(classify(text=tf.constant([text]))["scores"][0], row, atol=1e-5)
