"""Masked language modelling with Hugging Face Transformers, as its run_mlm.py does it: AdamW and clipping at 1.0."""

import numpy as np
import torch
import transformers
from torch.nn import functional

from benchmarks import same_work
from benchmarks.peers.torch_programs import autocast, copy, trained


def program(folder, precision, config, batch_size, words, gathered=False, attention_dropout=True):
    """Returns the `Program` of a training step on rows that are ready.

    Args:
        folder: that of `same_work`.
        precision: "float32" or "bfloat16" (by autocast).
        config: a `BERTConfig` with BERT's own norms, positions and two segments.
        batch_size: rows in a step.
        words: size of the vocabulary.
        gathered: take the head of the hidden places alone, which `BertForMaskedLM` does not do.
        attention_dropout: drop weights of the attention, as BERT does and karpa_tf does not.
    """
    arrays, batch = same_work.read(folder)
    network = make_network(config, words, attention_dropout)
    take(network, arrays, config.num_layers)
    inputs, positions, targets = tensors(batch)
    loss_of = gathered_loss if gathered else published_loss
    with torch.no_grad(), autocast(precision):
        loss = loss_of(network.eval(), inputs, positions, targets).item()
    network.train()
    kinds = [], []
    for name, weight in network.named_parameters():
        kinds["bias" in name or "LayerNorm" in name].append(weight)
    groups = [{"params": kinds[0], "weight_decay": 0.01}, {"params": kinds[1], "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, 1e-4, fused=True)  # the Trainer's default

    def step():
        with autocast(precision):
            loss = loss_of(network, inputs, positions, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        return loss.item()

    return trained(step, (network,), loss)


def make_network(config, words, attention_dropout=True):
    """Returns a `BertForMaskedLM`."""
    return transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=words,
            hidden_size=config.hidden_dim,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.intermediate_dim,
            hidden_act="gelu",
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout if attention_dropout else 0.0,
            max_position_embeddings=config.max_sequence_length,
            type_vocab_size=config.num_segments,
            layer_norm_eps=1e-12,
            pad_token_id=0,
        )
    )


def tensors(batch):
    """Returns the model's inputs, the hidden places (batch, predictions) and what was hidden there."""
    inputs = {
        "input_ids": torch.from_numpy(batch["token_ids"]).long(),
        "attention_mask": torch.from_numpy(batch["padding_mask"]).long(),
        "token_type_ids": torch.from_numpy(batch["segment_ids"]).long(),
    }
    return inputs, torch.from_numpy(batch["mask_positions"]).long(), torch.from_numpy(batch["mask_ids"]).long()


def published_loss(network, inputs, positions, targets):
    """Returns the mean loss over the hidden places, by logits at all places."""
    labels = torch.full_like(inputs["input_ids"], -100).scatter(1, positions, targets)
    return network(**inputs, labels=labels).loss


def gathered_loss(network, inputs, positions, targets):
    """Returns the same number by logits at the hidden places alone."""
    features = network.bert(**inputs).last_hidden_state
    features = torch.take_along_dim(features, positions[..., None], dim=1)
    return functional.cross_entropy(network.cls(features).flatten(0, 1), targets.flatten())


@torch.no_grad()
def take(network, arrays, depth):
    """Moves arrays, named as karpa_tf's weights are, into a `BertForMaskedLM`; raises `ValueError` for one too many."""
    arrays, parameters = dict(arrays), dict(network.named_parameters())

    def put(theirs, ours, weight="kernel", bias="bias"):
        copy(parameters.pop(f"{theirs}.weight"), arrays.pop(f"{ours}/{weight}").T)
        copy(parameters.pop(f"{theirs}.bias"), arrays.pop(f"{ours}/{bias}"))

    for kind, name in (("word", "token"), ("position", "position"), ("token_type", "segment")):
        copy(parameters.pop(f"bert.embeddings.{kind}_embeddings.weight"), arrays.pop(f"{name}_embedding/embeddings"))
    put("bert.embeddings.LayerNorm", "embeddings_layer_norm", "gamma", "beta")
    for number in range(depth):
        theirs, ours = f"bert.encoder.layer.{number}", f"transformer_layer_{number}"
        for name in ("kernel", "bias"):
            parts = np.split(arrays.pop(f"{ours}_self_attention/query_key_value/{name}"), 3, axis=-1)
            arrays |= {f"{part}/{name}": array for part, array in zip(("query", "key", "value"), parts, strict=True)}
        for part in ("query", "key", "value"):
            put(f"{theirs}.attention.self.{part}", part)
        put(f"{theirs}.attention.output.dense", f"{ours}_self_attention/attention_output")
        put(f"{theirs}.attention.output.LayerNorm", f"{ours}_self_attention_layer_norm", "gamma", "beta")
        put(f"{theirs}.intermediate.dense", f"{ours}_feedforward_intermediate_dense")
        put(f"{theirs}.output.dense", f"{ours}_feedforward_output_dense")
        put(f"{theirs}.output.LayerNorm", f"{ours}_feedforward_layer_norm", "gamma", "beta")
    put("cls.predictions.transform.dense", "mlm_head_dense")
    put("cls.predictions.transform.LayerNorm", "mlm_head_layer_norm", "gamma", "beta")
    copy(parameters.pop("cls.predictions.bias"), arrays.pop("logits/bias"))
    if arrays or parameters:
        raise ValueError(f"Weights that found no place, and places that found none: {[*arrays]}, {[*parameters]}.")
