"""The n-gram model beside text classifiers, against scikit-learn and loops."""

import collections
import dataclasses
import itertools

import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from karpa_tf.configs.labeled import LabeledConfig
from karpa_tf.data.text.labeled import TextSet
from karpa_tf.training import ngrams

WORDS = 12
CONFIG = LabeledConfig()


def make_rows(count, classes, seed=0, length=6):
    """Texts without repeated words, of which each class prefers some, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count).astype(np.int32)
    rows = []
    for label in labels:
        p = np.where(np.arange(WORDS) % classes == label, 3.0, 1.0)
        rows.append(rng.choice(WORDS, rng.integers(3, length), replace=False, p=p / p.sum()).astype(np.int32))
    return rows, labels


def make_set(labels, classes):
    return TextSet("texts", ("",) * len(labels), labels, tuple(map(str, range(classes))))


def make_model(classes=2, buckets=40, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(WORDS + buckets, classes)).astype(np.float32)
    squares = rng.uniform(1, 100, (WORDS + buckets, 1)).astype(np.float32)
    return ngrams.NgramModel(WORDS, np.float32(0.3), table, squares, rng.normal(size=classes).astype(np.float32))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_fit_is_that_of_scikit_learn_on_its_own_features(classes, weights):
    rows, labels = make_rows(200, classes)
    new, _ = make_rows(50, classes, seed=1)
    texts, new_texts = ([" ".join(f"w{token}" for token in row) for row in x] for x in (rows, new))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2))
    logistic = LogisticRegression(
        C=10, solver="liblinear", class_weight=None if weights == "none" else weights, random_state=0
    )
    expected = OneVsRestClassifier(logistic).fit(vectorizer.fit_transform(texts), labels)
    config = dataclasses.replace(CONFIG, class_weights=weights)
    logits = ngrams.fit(rows, make_set(labels, classes), WORDS, config).compute_logits(new)
    decision = expected.decision_function(vectorizer.transform(new_texts))
    ours = logits if classes > 2 else logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(ours, decision, atol=0.02)
    np.testing.assert_array_equal(logits.argmax(1), expected.predict(vectorizer.transform(new_texts)))


def test_the_layer_computes_the_logits_of_a_loop_over_ngrams_whatever_the_padding():
    model, rng = make_model(classes=3), np.random.default_rng(1)
    rows = [rng.integers(0, WORDS, length).astype(np.int32) for length in (1, 2, 9, 30)]
    expected = []
    for row in rows:
        counts = collections.Counter(row.tolist())
        counts.update(WORDS + (int(a) * 7919 + int(b)) % 40 for a, b in itertools.pairwise(row))
        sums = sum(count * model.table[gram].astype(float) for gram, count in counts.items())
        squares = sum(count * float(model.squares[gram, 0]) for gram, count in counts.items())
        expected.append(sums / np.sqrt(squares) + model.bias)
    np.testing.assert_allclose(model.compute_logits(rows), expected, rtol=1e-5)
    ids, mask = np.zeros((4, 33), np.int32), np.zeros((4, 33), bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)], mask[index, : len(row)] = row, True
    inputs = {"token_ids": keras.Input((None,), dtype="int32", name="token_ids")}
    inputs["padding_mask"] = keras.Input((None,), dtype="bool", name="padding_mask")
    bias = keras.layers.Embedding(1, 3, embeddings_initializer=lambda shape, dtype: np.array([[1.0, 2.0, 3.0]]))
    network = keras.Model(inputs, bias(keras.ops.zeros_like(inputs["token_ids"][:, 0])))
    both = model.add_to(network)
    logits = both({"token_ids": ids, "padding_mask": mask})
    np.testing.assert_allclose(logits, np.array(expected) + 0.3 * np.array([1, 2, 3]), rtol=1e-4, atol=1e-5)
    assert len(both.trainable_variables) == 1
    layer = both.get_layer("ngrams")
    assert type(layer).from_config(layer.get_config()).pair_buckets == 40


def test_the_factors_minimize_the_log_loss_and_few_texts_keep_the_usual_ones():
    model, (rows, labels) = make_model(), make_rows(400, 2)
    signal = np.where(labels == 1, 1.0, -1.0) + np.random.default_rng(0).normal(size=400)
    network = np.exp(log_softmax(np.stack([np.zeros(400), 3 * signal], axis=1), axis=1))
    weighed, factors = model.weigh(network, rows, labels)

    def compute_loss(factors):
        logits = factors[0] * np.log(network) + factors[1] * model.compute_logits(rows)
        return -log_softmax(logits, axis=1)[np.arange(400), labels].mean()

    grid = [compute_loss((x, y)) for x in np.linspace(0, 2, 41) for y in np.linspace(0, 2, 41)]
    assert compute_loss(factors) <= min(grid) + 1e-3 and factors[0] == pytest.approx(2 / 3, abs=0.2)
    assert weighed.scale == pytest.approx(factors[0])
    np.testing.assert_allclose(weighed.compute_logits(rows), factors[1] * model.compute_logits(rows), rtol=1e-5)
    _, usual = model.weigh(np.full((1, 2), 0.5), rows[:1], labels[:1])
    assert np.abs(usual - ngrams.USUAL_FACTORS).max() < 0.5


def test_a_class_of_weight_3_counts_as_if_its_texts_were_there_three_times():
    model, (rows, labels) = make_model(), make_rows(60, 2)
    network = np.random.default_rng(0).dirichlet((1, 1), 60)
    index = np.concatenate([np.arange(60), *[np.flatnonzero(labels == 1)] * 2])
    _, expected = model.weigh(network[index], [rows[i] for i in index], labels[index])
    _, factors = model.weigh(network, rows, labels, np.array([1.0, 3.0]))
    np.testing.assert_allclose(factors, expected, atol=1e-3)
    assert np.abs(factors - model.weigh(network, rows, labels)[1]).max() > 0.01


def test_a_class_without_texts_is_improbable_and_the_others_are_found():
    rows, labels = make_rows(200, 2)
    labels = np.where(labels == 1, 3, 1).astype(np.int32)
    logits = ngrams.fit(rows, make_set(labels, 4), WORDS, CONFIG).compute_logits(rows)
    assert np.isin(logits.argmax(1), (1, 3)).all() and np.mean(logits.argmax(1) == labels) > 0.7


def test_more_texts_than_the_maximum_are_sampled_with_every_class(monkeypatch):
    rows, labels = make_rows(200, 2)
    labels[7] = 2
    monkeypatch.setattr(ngrams, "MAX_TOKENS", 80)
    model = ngrams.fit(rows, make_set(labels, 3), WORDS, CONFIG)
    assert 0 < np.count_nonzero(model.squares[WORDS:]) < 80 and model.bias[2] > -np.log(30)


def test_a_file_holds_the_model(tmp_path):
    model = make_model()
    model.save(tmp_path / "ngrams.npz")
    again = ngrams.load(tmp_path / "ngrams.npz")
    rows, _ = make_rows(5, 2)
    np.testing.assert_array_equal(again.compute_logits(rows), model.compute_logits(rows))
    assert again.scale == model.scale and [path.name for path in tmp_path.iterdir()] == ["ngrams.npz"]
