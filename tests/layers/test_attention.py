"""Self-attention and its scores against NumPy and against Keras' layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.layers.attention import SelfAttention

BATCH_SIZE, LENGTH, HIDDEN_DIM, NUM_HEADS = 3, 5, 8, 2


def make_inputs():
    """Returns float32 (3, 5, 8) and a padding mask, whose rows have 5, 3 and 1 tokens."""
    inputs = np.random.default_rng(0).normal(size=(BATCH_SIZE, LENGTH, HIDDEN_DIM)).astype(np.float32)
    return inputs, np.arange(LENGTH) < np.array([[5], [3], [1]])


def make_layer(**kwargs):
    """Returns a built layer whose weights, biases included, are all random and large enough to matter."""
    layer = SelfAttention(NUM_HEADS, **kwargs)
    layer.build((None, None, HIDDEN_DIM), (None, None))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


def to_numpy(x):
    return np.array(tf.cast(x, tf.float32))


def compute_in_numpy(layer, inputs, padding_mask):
    """Returns the output and the attention scores, computed head by head in float64."""
    qkv_kernel, qkv_bias, output_kernel, output_bias = (weight.astype(np.float64) for weight in layer.get_weights())
    query, key, value = np.split(inputs @ qkv_kernel + qkv_bias, 3, axis=-1)
    head_dim = HIDDEN_DIM // NUM_HEADS
    contexts, scores = [], []
    for head in range(NUM_HEADS):
        columns = slice(head * head_dim, (head + 1) * head_dim)
        logits = query[..., columns] @ key[..., columns].swapaxes(1, 2) / np.sqrt(head_dim)
        logits = np.where(padding_mask[:, None, :], logits, -np.inf)
        exponentials = np.exp(logits - logits.max(-1, keepdims=True))
        scores.append(exponentials / exponentials.sum(-1, keepdims=True))
        contexts.append(scores[-1] @ value[..., columns])
    return np.concatenate(contexts, axis=-1) @ output_kernel + output_bias, np.stack(scores, axis=1)


def test_output_and_scores_match_numpy():
    layer = make_layer()
    inputs, padding_mask = make_inputs()
    output, scores = layer(inputs, padding_mask=padding_mask, return_attention_scores=True)
    expected_output, expected_scores = compute_in_numpy(layer, inputs, padding_mask)
    assert scores.shape == (BATCH_SIZE, NUM_HEADS, LENGTH, LENGTH)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    np.testing.assert_allclose(output, expected_output, atol=1e-5)


def test_output_and_scores_match_the_layer_of_keras():
    ours, theirs = make_layer(), keras.layers.MultiHeadAttention(NUM_HEADS, HIDDEN_DIM // NUM_HEADS)
    inputs, padding_mask = make_inputs()
    theirs.build(inputs.shape, inputs.shape)
    qkv_kernel, qkv_bias, output_kernel, output_bias = ours.get_weights()
    kernels, biases = np.split(qkv_kernel, 3, axis=-1), np.split(qkv_bias, 3)
    arrays = [array for pair in zip(kernels, biases, strict=True) for array in pair] + [output_kernel, output_bias]
    theirs.set_weights([array.reshape(weight.shape) for array, weight in zip(arrays, theirs.weights, strict=True)])
    results = ours(inputs, padding_mask=padding_mask, return_attention_scores=True)
    expected = theirs(inputs, inputs, attention_mask=padding_mask[:, None, :], return_attention_scores=True)
    for result, expected_result in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, expected_result, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("rotary", [False, True])
def test_rows_of_scores_sum_to_one_and_masked_keys_get_zero(policy, rotary):
    layer = make_layer(dtype=policy, rotary=rotary)
    inputs, padding_mask = make_inputs()
    _, scores = layer(inputs, padding_mask=padding_mask, return_attention_scores=True)
    scores = np.array(scores)
    np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-6)
    is_masked = np.broadcast_to(~padding_mask[:, None, None, :], scores.shape)
    assert (scores[is_masked] == 0).all() and (scores[~is_masked] > 0).all()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_scores_are_float32_and_the_output_is_not_under_mixed_precision(policy):
    layer = make_layer(dtype=policy)
    inputs, padding_mask = make_inputs()
    output, scores = layer(inputs, padding_mask=padding_mask, return_attention_scores=True)
    assert scores.dtype == tf.float32 and output.dtype == tf.as_dtype(policy.removeprefix("mixed_"))
    np.testing.assert_allclose(scores, compute_in_numpy(layer, inputs, padding_mask)[1], atol=0.1)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("rotary", [False, True])
def test_the_output_does_not_depend_on_whether_scores_are_returned(policy, rotary):
    layer = make_layer(dtype=policy, rotary=rotary)
    inputs, padding_mask = make_inputs()
    output, _ = layer(inputs, padding_mask=padding_mask, return_attention_scores=True)
    np.testing.assert_array_equal(to_numpy(layer(inputs, padding_mask=padding_mask)), to_numpy(output))


@pytest.mark.parametrize("rotary", [False, True])
def test_a_functional_model_with_scores_is_saved_and_loaded(rotary, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    tensors = {
        "inputs": keras.Input((None, HIDDEN_DIM), name="inputs"),
        "padding_mask": keras.Input((None,), dtype="bool", name="padding_mask"),
    }
    layer = SelfAttention(NUM_HEADS, rotary=rotary)
    output, scores = layer(**tensors, return_attention_scores=True)
    assert output.shape == (None, None, HIDDEN_DIM) and output.dtype == "bfloat16"
    assert scores.shape == (None, NUM_HEADS, None, None) and scores.dtype == "float32"
    model = keras.Model(tensors, [output, scores])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config() == layer.get_config()
    inputs, padding_mask = make_inputs()
    data = {"inputs": inputs, "padding_mask": padding_mask}
    for result, expected in zip(loaded(data), model(data), strict=True):
        np.testing.assert_array_equal(to_numpy(result), to_numpy(expected))


def test_rotary_attention_depends_on_relative_positions_only():
    layer = SelfAttention(2, rotary=True)
    x = np.random.default_rng(0).normal(size=(1, 4, 8)).astype(np.float32)
    padded = np.concatenate([np.zeros((1, 3, 8), np.float32), x], axis=1)
    mask = np.ones((1, 7), bool)
    expected = np.array(layer(x, padding_mask=mask[:, :4]))
    mask[:, :3] = False
    np.testing.assert_allclose(np.array(layer(padded, padding_mask=mask))[:, 3:], expected, atol=1e-5)


def test_weights_have_the_names_of_their_sublayers():
    assert [weight.path.split("/", 1)[1] for weight in make_layer(rotary=True).weights] == [
        "query_key_value/kernel",
        "query_key_value/bias",
        "attention_output/kernel",
        "attention_output/bias",
    ]
