"""Published BERT and DistilBERT against transformers, on small random models that it saves."""

import re

import numpy as np
import pytest
import tensorflow as tf
from published_texts import TEXTS, TOKENS
from safetensors.numpy import load_file, save_file

from karpa_tf.export.masked_lm import make_masked_lm_functions
from karpa_tf.models.bert import extract_encoder
from karpa_tf.training.pretrained_text import open_published

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

KINDS = ("bert", "distilbert", "cased bert", "bert without a head", "bert with vocab.txt", "bert with old names")


@pytest.fixture(scope="module", params=KINDS)
def published(request, tmp_path_factory):
    """The model of transformers, its tokenizer, and the folder in which both are."""
    folder, kind = tmp_path_factory.mktemp("published"), request.param
    torch.manual_seed(0)
    sizes = {"vocab_size": len(TOKENS) + 3, "max_position_embeddings": 24}  # more rows than tokens
    if kind == "distilbert":
        config = transformers.DistilBertConfig(**sizes, dim=16, n_layers=3, n_heads=4, hidden_dim=40)
        model = transformers.DistilBertForMaskedLM(config)
    else:
        config = transformers.BertConfig(
            **sizes,
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=40,
            layer_norm_eps=1e-5,
        )
        model = (transformers.BertModel if "without" in kind else transformers.BertForMaskedLM)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    tokenizer = transformers.BertTokenizerFast(
        vocab={token: index for index, token in enumerate(TOKENS)}, do_lower_case="cased" not in kind
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    if "old names" in kind:
        arrays = load_file(folder / "model.safetensors")
        renamed = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for name in [name for name in arrays if "LayerNorm" in name]:
            old = re.sub("|".join(renamed), lambda match: renamed[match[0]], name)
            arrays[old] = arrays.pop(name)
        save_file(arrays, folder / "model.safetensors")
    if "vocab.txt" in kind:
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in TOKENS))
    return model.eval(), tokenizer, folder


def test_tokens_are_those_of_transformers(published):
    _, tokenizer, folder = published
    vocabulary = open_published(folder).vocabulary
    tokens = [encoding.tokens for encoding in vocabulary.make_tokenizer().encode_batch(TEXTS)]
    assert tokens == [tokenizer.tokenize(text) for text in TEXTS]
    assert "the" in tokens[0] and any("[UNK]" in row for row in tokens)


def test_logits_are_those_of_transformers(published):
    theirs, tokenizer, folder = published
    pretrained = open_published(folder)
    ours, has_head = pretrained.load()
    assert has_head == (type(theirs) is not transformers.BertModel)
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    known = {token: index for index, token in enumerate(pretrained.vocabulary.tokens)}
    ids = np.array([[known[token] for token in tokenizer.convert_ids_to_tokens(row)] for row in encoded["input_ids"]])
    positions = np.tile(np.arange(ids.shape[1]), (len(ids), 1))
    batch = {"token_ids": ids, "padding_mask": encoded["attention_mask"].numpy() > 0, "segment_ids": np.zeros_like(ids)}
    inputs = {tensor.name for tensor in ours.inputs}
    batch = {name: value for name, value in (batch | {"mask_positions": positions}).items() if name in inputs}
    with torch.no_grad():
        outputs = theirs(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
    if has_head:
        rows = tokenizer.convert_tokens_to_ids(list(pretrained.vocabulary.tokens))
        result, expected = ours(batch), outputs.logits.numpy()[..., rows]
    else:
        batch.pop("mask_positions")
        result, expected = extract_encoder(ours)(batch), outputs.last_hidden_state.numpy()
    is_token = encoded["attention_mask"].numpy() > 0
    assert expected[is_token].std() > 0.3
    np.testing.assert_allclose(np.array(result)[is_token], expected[is_token], atol=1e-4)


@pytest.mark.parametrize("published", [kind for kind in KINDS if "without" not in kind], indirect=True)
def test_masks_are_filled_alike(published):
    theirs, tokenizer, folder = published
    pretrained = open_published(folder)
    functions, _ = make_masked_lm_functions(pretrained.load()[0], pretrained.vocabulary, 20)
    text = "the [MASK] is on the mat [MASK]"
    answer = functions["serving_default"](text=tf.constant([text]))
    encoded = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**encoded).logits[0, encoded["input_ids"][0] == tokenizer.mask_token_id, : len(TOKENS)]
    best = logits.softmax(-1).topk(3)
    words = [[token.decode() for token in row[:3]] for row in answer["tokens"].numpy()[0]]
    assert words == [tokenizer.convert_ids_to_tokens(row) for row in best.indices]
    np.testing.assert_allclose(answer["scores"].numpy()[0, :, :3], best.values, atol=1e-4)
