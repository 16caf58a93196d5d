"""The masked language model against that of `transformers` in PyTorch, with the same weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.configs import bert
from karpa_tf.configs.bert import BERTConfig
from karpa_tf.models.bert import make_encoder, make_masked_lm

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

CONFIG = BERTConfig(
    max_sequence_length=24, hidden_dim=16, num_layers=3, num_heads=4, intermediate_dim=40, dropout=0.0, num_segments=2
)
VOCABULARY_SIZE = 60


def make_reference(config, vocabulary_size):
    """Returns the `BertForMaskedLM` for a `BERTConfig`."""
    from benchmarks.peers.transformers_bert import make_network

    return make_network(config, vocabulary_size)


def convert_weights(arrays, num_layers):
    """Returns arrays by the names of our weights as arrays by the names and in the layout of `BertForMaskedLM`.

    Its kernels are (outputs, inputs), and it has separate ones for query, key and value. All arrays must be used.
    """
    arrays, converted = dict(arrays), {}

    def put(theirs, ours, *names):
        for their_name, our_name in zip(("weight", "bias"), names, strict=False):
            converted[f"{theirs}.{their_name}"] = arrays.pop(f"{ours}/{our_name}").T

    for their_name, our_name in (("word", "token"), ("position", "position"), ("token_type", "segment")):
        converted[f"bert.embeddings.{their_name}_embeddings.weight"] = arrays.pop(f"{our_name}_embedding/embeddings")
    put("bert.embeddings.LayerNorm", "embeddings_layer_norm", "gamma", "beta")
    for index in range(num_layers):
        theirs, ours = f"bert.encoder.layer.{index}", f"transformer_layer_{index}"
        for name in ("kernel", "bias"):
            projections = np.split(arrays.pop(f"{ours}_self_attention/query_key_value/{name}"), 3, axis=-1)
            for projection, array in zip(("query", "key", "value"), projections, strict=True):
                arrays[f"{projection}/{name}"] = array
        for projection in ("query", "key", "value"):
            put(f"{theirs}.attention.self.{projection}", projection, "kernel", "bias")
        put(f"{theirs}.attention.output.dense", f"{ours}_self_attention/attention_output", "kernel", "bias")
        put(f"{theirs}.attention.output.LayerNorm", f"{ours}_self_attention_layer_norm", "gamma", "beta")
        put(f"{theirs}.intermediate.dense", f"{ours}_feedforward_intermediate_dense", "kernel", "bias")
        put(f"{theirs}.output.dense", f"{ours}_feedforward_output_dense", "kernel", "bias")
        put(f"{theirs}.output.LayerNorm", f"{ours}_feedforward_layer_norm", "gamma", "beta")
    put("cls.predictions.transform.dense", "mlm_head_dense", "kernel", "bias")
    put("cls.predictions.transform.LayerNorm", "mlm_head_layer_norm", "gamma", "beta")
    converted["cls.predictions.bias"] = arrays.pop("logits/bias")
    assert not arrays
    return converted


@pytest.fixture(scope="module")
def models():
    """Both models with the same weights, with noise added to all of them, so that each affects what is compared."""
    keras.utils.set_random_seed(0)
    ours = make_masked_lm(CONFIG, make_encoder(CONFIG, VOCABULARY_SIZE))
    for index, weight in enumerate(ours.weights):
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=index))
    theirs = make_reference(CONFIG, VOCABULARY_SIZE).eval()
    converted = convert_weights({weight.path: weight.numpy() for weight in ours.weights}, CONFIG.num_layers)
    parameters = dict(theirs.named_parameters())
    assert converted.keys() == parameters.keys()
    with torch.no_grad():
        for name, array in converted.items():
            assert parameters[name].shape == array.shape, name
            parameters[name].copy_(torch.tensor(array))
    return ours, theirs


@pytest.fixture
def batch():
    """Inputs of five sequences of up to 20 tokens, and six positions to predict in each."""
    rng = np.random.default_rng(0)
    lengths = np.array([20, 19, 13, 8, 6])[:, None]
    padding_mask = np.arange(20)[None] < lengths
    return {
        "token_ids": np.where(padding_mask, rng.integers(5, VOCABULARY_SIZE, (5, 20)), 0).astype(np.int32),
        "padding_mask": padding_mask,
        "segment_ids": (padding_mask & (np.arange(20)[None] >= lengths // 2)).astype(np.int32),
        "mask_positions": np.array([rng.permutation(length)[:6] for (length,) in lengths], np.int32),
    }


def compute_reference_logits(theirs, batch):
    logits = theirs(
        input_ids=torch.tensor(batch["token_ids"]),
        attention_mask=torch.tensor(batch["padding_mask"]),
        token_type_ids=torch.tensor(batch["segment_ids"]),
    ).logits
    return torch.take_along_dim(logits, torch.tensor(batch["mask_positions"])[..., None].long(), dim=1)


def test_logits_match_bert_in_pytorch(models, batch):
    ours, theirs = models
    logits = np.array(ours(batch))
    assert logits.shape == (5, 6, VOCABULARY_SIZE) and logits.std() > 0.5
    np.testing.assert_allclose(logits, compute_reference_logits(theirs, batch).detach().numpy(), atol=1e-4)


def test_gradients_of_the_loss_match_bert_in_pytorch(models, batch):
    ours, theirs = models
    rng = np.random.default_rng(1)
    targets = rng.integers(5, VOCABULARY_SIZE, (5, 6))
    weights = (rng.random((5, 6)) < 0.8).astype(np.float32)
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, ours(batch))
        loss = tf.reduce_sum(weights * losses) / tf.reduce_sum(weights)
    gradients = tape.gradient(loss, [weight.value for weight in ours.weights])
    names = [weight.path for weight in ours.weights]
    gradients = {name: tf.convert_to_tensor(gradient).numpy() for name, gradient in zip(names, gradients, strict=True)}

    losses = torch.nn.functional.cross_entropy(
        compute_reference_logits(theirs, batch).flatten(0, 1), torch.tensor(targets).flatten(), reduction="none"
    )
    weights = torch.tensor(weights).flatten()
    theirs.zero_grad()
    ((weights * losses).sum() / weights.sum()).backward()
    expected = dict(theirs.named_parameters())
    for name, gradient in convert_weights(gradients, CONFIG.num_layers).items():
        expected_gradient = expected[name].grad.numpy()
        # The bias of keys adds the same value to all scores of a query, so that its gradient is zero.
        assert name.endswith("key.bias") or np.abs(expected_gradient).max() > 1e-3, name
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-4, err_msg=name)


def test_bert_base_has_the_parameters_of_bert_in_pytorch():
    ours = make_masked_lm(bert.BASE, make_encoder(bert.BASE, 30_522))
    with torch.device("meta"):
        theirs = make_reference(bert.BASE, 30_522)
    arrays = {weight.path: np.broadcast_to(0.0, weight.shape) for weight in ours.weights}
    shapes = {name: array.shape for name, array in convert_weights(arrays, bert.BASE.num_layers).items()}
    assert shapes == {name: tuple(parameter.shape) for name, parameter in theirs.named_parameters()}
    assert sum(parameter.numel() for parameter in theirs.parameters()) == ours.count_params() == 109_514_298
