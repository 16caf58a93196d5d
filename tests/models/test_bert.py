"""The encoder and its head: sizes, masks, and a second implementation in NumPy."""

import dataclasses
import math

import keras
import keras_hub
import numpy as np
import pytest

from karpa_tf.configs import bert
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.errors import UserError
from karpa_tf.layers.attention import SelfAttention
from karpa_tf.layers.embeddings import SinePositionEncoding
from karpa_tf.models.bert import make_encoder, make_masked_lm

SMALL = BERTConfig(max_sequence_length=12, hidden_dim=8, num_layers=2, num_heads=2, intermediate_dim=16, dropout=0.0)
WORDS = 20


def batch(rows=3, length=10, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, WORDS, (rows, length)).astype(np.int32)
    mask = np.arange(length)[None] < rng.integers(4, length + 1, (rows, 1))
    return {"token_ids": np.where(mask, ids, 0), "padding_mask": mask}


def shaken(model):
    """Gives every weight a random part, so that none is left out of what is compared."""
    for place, weight in enumerate(model.weights):
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=place))
    return model


def test_bert_base_has_the_published_110_million_weights():
    encoder = make_encoder(bert.BASE, 30_522)
    model = make_masked_lm(bert.BASE, encoder)
    block = 4 * (768 * 768 + 768) + 768 * 3072 + 3072 + 3072 * 768 + 768 + 4 * 768
    embeddings = (30_522 + 512 + 2) * 768 + 2 * 768
    head = 768 * 768 + 768 + 2 * 768 + 30_522
    assert encoder.count_params() == embeddings + 12 * block
    assert model.count_params() == embeddings + 12 * block + head == 109_514_298


def test_the_small_ones_have_the_sizes_of_their_table():
    # The released models of Turc et al. 2019 have 512 positions, segments, and a pooler, which is left out here.
    for config, published in ((bert.TINY, 4_385_920), (bert.MINI, 11_170_560), (bert.SMALL, 28_763_648)):
        config = dataclasses.replace(config, max_sequence_length=512, num_segments=2)
        pooler = config.hidden_dim * (config.hidden_dim + 1)
        assert make_encoder(config, 30_522).count_params() + pooler == published


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def normalize(x, gamma, beta):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * gamma + beta


def in_numpy(model, inputs, positions, config):
    """The published network, written out: post-norm, learned positions."""
    w = {weight.path: weight.numpy().astype(float) for weight in model.weights}

    def dense(x, name):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(x, name):
        return normalize(x, w[f"{name}/gamma"], w[f"{name}/beta"])

    ids, mask = inputs["token_ids"], inputs["padding_mask"]
    words = w["token_embedding/embeddings"]
    x = norm(words[ids] + w["position_embedding/embeddings"][: ids.shape[1]], "embedding_norm")
    for number in range(config.num_layers):
        name = f"block_{number}"
        query, key, value = np.split(dense(x, f"{name}_attention/query_key_value"), 3, axis=-1)
        seen = np.zeros_like(x)
        size = config.hidden_dim // config.num_heads
        for head in range(config.num_heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[..., part] @ key[..., part].swapaxes(1, 2) / math.sqrt(size)
            scores = np.where(mask[:, None, :], scores, -1e30)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            seen[..., part] = shares / shares.sum(-1, keepdims=True) @ value[..., part]
        x = norm(x + dense(seen, f"{name}_attention/output"), f"{name}_attention_norm")
        inner = gelu(dense(x, f"{name}_feed_forward"))
        x = norm(x + dense(inner, f"{name}_feed_forward_output"), f"{name}_feed_forward_norm")
    chosen = np.take_along_axis(x, positions[..., None], axis=1)
    y = norm(gelu(dense(chosen, "head")), "head_norm")
    return y @ words.T + w["logits/bias"]


def test_logits_are_those_of_the_published_network_written_out():
    model = shaken(make_masked_lm(SMALL, make_encoder(SMALL, WORDS)))
    inputs, positions = batch(), np.array([[1, 3], [0, 2], [3, 3]], np.int32)
    logits = np.array(model(inputs | {"mask_positions": positions}))
    assert logits.shape == (3, 2, WORDS)
    np.testing.assert_allclose(logits, in_numpy(model, inputs, positions, SMALL), atol=1e-4)


VARIANTS = [
    SMALL,
    dataclasses.replace(SMALL, normalize_first=True),
    dataclasses.replace(SMALL, position_embedding="sinusoidal"),
    dataclasses.replace(SMALL, position_embedding="rotary", normalize_first=True),
]


@pytest.mark.parametrize("config", VARIANTS)
def test_padding_changes_nothing_and_places_and_order_matter(config):
    encoder = shaken(make_encoder(config, WORDS))
    inputs = batch(rows=1, length=6)
    inputs["padding_mask"][:] = True
    inputs["token_ids"][:] = [[5, 6, 7, 8, 9, 10]]
    features = np.array(encoder(inputs))
    longer = {name: np.pad(value, ((0, 0), (0, 4))) for name, value in inputs.items()}
    longer["token_ids"][:, 6:] = 11  # whatever stands behind the mask
    np.testing.assert_allclose(np.array(encoder(longer))[:, :6], features, atol=1e-5)
    turned = inputs | {"token_ids": inputs["token_ids"][:, ::-1]}
    assert np.abs(np.array(encoder(turned))[:, ::-1] - features).max() > 1e-3


def test_rotary_attention_depends_on_distances_alone():
    layer = SelfAttention(2, rotary=True)
    x = np.random.default_rng(0).normal(size=(1, 4, 8)).astype(np.float32)
    padded = np.concatenate([np.zeros((1, 3, 8), np.float32), x], axis=1)
    mask = np.ones((1, 7), bool)
    here = np.array(layer(x, padding_mask=mask[:, :4]))
    mask[:, :3] = False
    np.testing.assert_allclose(np.array(layer(padded, padding_mask=mask))[:, 3:], here, atol=1e-5)


def test_segments_have_embeddings_of_their_own():
    config = dataclasses.replace(SMALL, num_segments=2)
    encoder = shaken(make_encoder(config, WORDS))
    inputs = batch()
    first, second = (encoder(inputs | {"segment_ids": np.full((3, 10), kind, np.int32)}) for kind in (0, 1))
    assert np.abs(np.array(first) - np.array(second)).max() > 1e-3


def test_the_output_kernel_is_the_token_embedding():
    encoder = make_encoder(SMALL, WORDS)
    model = make_masked_lm(SMALL, encoder)
    matrices = [weight.path for weight in model.weights if WORDS in weight.shape and len(weight.shape) == 2]
    assert matrices == ["token_embedding/embeddings"]
    assert sorted(tensor.name for tensor in model.inputs) == ["mask_positions", "padding_mask", "token_ids"]


def test_half_precision_gives_logits_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = make_masked_lm(SMALL, make_encoder(SMALL, WORDS))
    logits = model(batch() | {"mask_positions": np.zeros((3, 2), np.int32)})
    assert logits.dtype == "float32" and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"heads": 3}, "--heads must divide --width; received 3 and 8"),
        ({"heads": 8, "positions": "rotary"}, "needs an even --width per head"),
        ({"dropout": 1.0}, "--dropout must be"),
        ({"depth": 0}, "--depth must be above 0"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes, says):
    with pytest.raises(UserError, match=says):
        dataclasses.replace(SMALL, **changes)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_sines_of_places_are_those_of_keras_hub(precision):
    keras.config.set_dtype_policy(precision)
    x = keras.ops.zeros((2, 40, 6), keras.config.dtype_policy().compute_dtype)
    ours, theirs = SinePositionEncoding()(x), keras_hub.layers.SinePositionEncoding()(x)
    assert ours.dtype == theirs.dtype and ours.shape == x.shape
    np.testing.assert_array_equal(keras.ops.cast(ours, "float32"), keras.ops.cast(theirs, "float32"))
