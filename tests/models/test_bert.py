"""The encoder and the masked language model: sizes, padding, and a second implementation in NumPy."""

import dataclasses
import math

import keras
import numpy as np
import pytest

from karpa_tf.configs import bert
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.errors import UserError
from karpa_tf.models.bert import make_encoder, make_masked_lm

SMALL = BERTConfig(max_sequence_length=12, hidden_dim=8, num_layers=2, num_heads=2, intermediate_dim=16, dropout=0.0)
VOCABULARY_SIZE = 20


def make_batch(batch_size=3, length=10, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, VOCABULARY_SIZE, (batch_size, length)).astype(np.int32)
    mask = np.arange(length)[None] < rng.integers(4, length + 1, (batch_size, 1))
    return {"token_ids": np.where(mask, ids, 0), "padding_mask": mask}


def randomize(model):
    """Returns the model with noise added to all weights, so that each of them affects what is compared."""
    for index, weight in enumerate(model.weights):
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=index))
    return model


def test_bert_base_has_the_published_110_million_parameters():
    encoder = make_encoder(bert.BASE, 30_522)
    model = make_masked_lm(bert.BASE, encoder)
    transformer_layer = 4 * (768 * 768 + 768) + 768 * 3072 + 3072 + 3072 * 768 + 768 + 4 * 768
    embeddings = (30_522 + 512 + 2) * 768 + 2 * 768
    head = 768 * 768 + 768 + 2 * 768 + 30_522
    assert encoder.count_params() == embeddings + 12 * transformer_layer
    assert model.count_params() == embeddings + 12 * transformer_layer + head == 109_514_298


def test_the_small_configs_have_the_published_sizes():
    # The released models of Turc et al. 2019 have 512 positions, two segments, and a pooler, which is not part of ours.
    for config, published in ((bert.TINY, 4_385_920), (bert.MINI, 11_170_560), (bert.SMALL, 28_763_648)):
        config = dataclasses.replace(config, max_sequence_length=512, num_segments=2)
        pooler = config.hidden_dim * (config.hidden_dim + 1)
        assert make_encoder(config, 30_522).count_params() + pooler == published


def test_two_thirds_of_the_units_of_geglu_have_the_weights_of_gelu():
    gelu = dataclasses.replace(SMALL, intermediate_dim=24, use_bias=False)
    geglu = dataclasses.replace(gelu, intermediate_dim=16, activation="geglu")
    assert make_encoder(gelu, 20).count_params() == make_encoder(geglu, 20).count_params()


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def normalize(x, gamma, beta):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * gamma + beta


def compute_in_numpy(model, inputs, positions, config):
    """Returns the logits of the published model, which normalizes last and has learned position embeddings."""
    w = {weight.path: weight.numpy().astype(float) for weight in model.weights}

    def dense(x, name):
        assert config.use_bias or not name.startswith("transformer") or f"{name}/bias" not in w
        return x @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)

    def norm(x, name):
        return normalize(x, w[f"{name}/gamma"], w[f"{name}/beta"])

    ids, mask = inputs["token_ids"], inputs["padding_mask"]
    embeddings = w["token_embedding/embeddings"]
    x = norm(embeddings[ids] + w["position_embedding/embeddings"][: ids.shape[1]], "embeddings_layer_norm")
    for index in range(config.num_layers):
        name = f"transformer_layer_{index}"
        query, key, value = np.split(dense(x, f"{name}_self_attention/query_key_value"), 3, axis=-1)
        context = np.zeros_like(x)
        head_dim = config.hidden_dim // config.num_heads
        for head in range(config.num_heads):
            columns = slice(head * head_dim, (head + 1) * head_dim)
            logits = query[..., columns] @ key[..., columns].swapaxes(1, 2) / math.sqrt(head_dim)
            logits = np.where(mask[:, None, :], logits, -1e30)
            scores = np.exp(logits - logits.max(-1, keepdims=True))
            context[..., columns] = scores / scores.sum(-1, keepdims=True) @ value[..., columns]
        context = dense(context, f"{name}_self_attention/attention_output")
        x = norm(x + context, f"{name}_self_attention_layer_norm")
        y = dense(x, f"{name}_feedforward_intermediate_dense")
        if config.activation == "geglu":
            gate, value = np.split(y, 2, axis=-1)
            y = gelu(gate) * value
        else:
            y = gelu(y)
        x = norm(x + dense(y, f"{name}_feedforward_output_dense"), f"{name}_feedforward_layer_norm")
    x = np.take_along_axis(x, positions[..., None], axis=1)
    x = norm(gelu(dense(x, "mlm_head_dense")), "mlm_head_layer_norm")
    return x @ embeddings.T + w["logits/bias"]


@pytest.mark.parametrize("changes", [{}, {"activation": "geglu", "use_bias": False}], ids=["published", "geglu"])
def test_logits_match_the_published_model_in_numpy(changes):
    config = dataclasses.replace(SMALL, **changes)
    model = randomize(make_masked_lm(config, make_encoder(config, VOCABULARY_SIZE)))
    inputs, positions = make_batch(), np.array([[1, 3], [0, 2], [3, 3]], np.int32)
    logits = np.array(model(inputs | {"mask_positions": positions}))
    assert logits.shape == (3, 2, VOCABULARY_SIZE)
    np.testing.assert_allclose(logits, compute_in_numpy(model, inputs, positions, config), atol=1e-4)


VARIANTS = [
    SMALL,
    dataclasses.replace(SMALL, normalize_first=True),
    dataclasses.replace(SMALL, position_embedding="sinusoidal"),
    dataclasses.replace(SMALL, position_embedding="rotary", normalize_first=True),
    dataclasses.replace(SMALL, position_embedding="rotary", normalize_first=True, activation="geglu", use_bias=False),
]


@pytest.mark.parametrize("config", VARIANTS)
def test_features_do_not_depend_on_padding_but_on_the_order_of_tokens(config):
    encoder = randomize(make_encoder(config, VOCABULARY_SIZE))
    inputs = make_batch(batch_size=1, length=6)
    inputs["padding_mask"][:] = True
    inputs["token_ids"][:] = [[5, 6, 7, 8, 9, 10]]
    features = np.array(encoder(inputs))
    padded = {name: np.pad(value, ((0, 0), (0, 4))) for name, value in inputs.items()}
    padded["token_ids"][:, 6:] = 11
    np.testing.assert_allclose(np.array(encoder(padded))[:, :6], features, atol=1e-5)
    reversed_inputs = inputs | {"token_ids": inputs["token_ids"][:, ::-1]}
    assert np.abs(np.array(encoder(reversed_inputs))[:, ::-1] - features).max() > 1e-3


@pytest.mark.parametrize("config", VARIANTS[2:4], ids=["sinusoidal", "rotary"])
def test_without_learned_positions_a_sequence_may_be_longer_than_the_maximum(config):
    encoder = randomize(make_encoder(config, VOCABULARY_SIZE))
    inputs = make_batch(batch_size=1, length=config.max_sequence_length * 4)
    inputs["padding_mask"][:] = True
    assert np.isfinite(encoder(inputs)).all()


def test_features_depend_on_the_segments():
    config = dataclasses.replace(SMALL, num_segments=2)
    encoder = randomize(make_encoder(config, VOCABULARY_SIZE))
    inputs = make_batch()
    first, second = (encoder(inputs | {"segment_ids": np.full((3, 10), segment, np.int32)}) for segment in (0, 1))
    assert np.abs(np.array(first) - np.array(second)).max() > 1e-3


def test_the_output_kernel_is_the_token_embedding():
    encoder = make_encoder(SMALL, VOCABULARY_SIZE)
    model = make_masked_lm(SMALL, encoder)
    matrices = [weight.path for weight in model.weights if VOCABULARY_SIZE in weight.shape and len(weight.shape) == 2]
    assert matrices == ["token_embedding/embeddings"]
    assert sorted(tensor.name for tensor in model.inputs) == ["mask_positions", "padding_mask", "token_ids"]


def test_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = make_masked_lm(SMALL, make_encoder(SMALL, VOCABULARY_SIZE))
    logits = model(make_batch() | {"mask_positions": np.zeros((3, 2), np.int32)})
    assert logits.dtype == "float32" and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "--num-heads must divide --hidden-dim; received 3 heads and a hidden dimension of 8"),
        ({"num_heads": 8, "position_embedding": "rotary"}, "needs an even --hidden-dim per head"),
        ({"dropout": 1.0}, "--dropout must be"),
        ({"num_layers": 0}, "--num-layers must be above 0"),
    ],
)
def test_an_invalid_config_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SMALL, **changes)
