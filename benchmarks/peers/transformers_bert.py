"""Masked language models with Hugging Face Transformers, trained with AdamW and clipping at 1.0 as by its Trainer."""

import numpy as np
import torch
import transformers
from torch.nn import functional

from benchmarks import shared_weights
from benchmarks.peers.torch_programs import autocast, copy, make_step_program


def make_program(folder, precision, config, batch_size, vocabulary_size, gathered=False, attention_dropout=True):
    """Returns the `Program` of training steps on one repeated batch.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16" (autocast).
        config: a `BERTConfig` with post-norm, learned position embeddings and two segments.
        batch_size: sequences per step, as many as in the shared batch.
        vocabulary_size: number of tokens.
        gathered: compute logits for the masked positions only, which `BertForMaskedLM` does not.
        attention_dropout: apply dropout to the attention weights, as BERT does and karpa_tf does not.
    """
    arrays, batch = shared_weights.load(folder)
    network = make_network(config, vocabulary_size, attention_dropout)
    assign_weights(network, arrays, config.num_layers)
    inputs, positions, targets = make_tensors(batch)
    compute_loss = gathered_loss if gathered else published_loss
    with torch.no_grad(), autocast(precision):
        loss = compute_loss(network.eval(), inputs, positions, targets).item()
    step = make_step(network, precision, lambda: compute_loss(network, inputs, positions, targets))
    return make_step_program(step, (network,), loss)


def make_step(network, precision, compute_loss):
    """Returns a function of a training step with the settings of Transformers' Trainer.

    Args:
        network: the module to train.
        precision: "float32" or "bfloat16" (autocast).
        compute_loss: function without arguments that returns the loss of the next batch.
    """
    network.train()
    decay, no_decay = [], []
    for name, weight in network.named_parameters():
        (no_decay if "bias" in name or "LayerNorm" in name else decay).append(weight)
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": no_decay, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, 1e-4, fused=True)

    def step():
        with autocast(precision):
            loss = compute_loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        return loss.item()

    return step


def make_network(config, vocabulary_size, attention_dropout=True):
    """Returns a `BertForMaskedLM`."""
    return transformers.BertForMaskedLM(make_config(config, vocabulary_size, attention_dropout))


def make_config(config, vocabulary_size, attention_dropout=True, **settings):
    """Returns the `transformers.BertConfig` of a `BERTConfig`; `settings` are further ones of it."""
    return transformers.BertConfig(
        vocab_size=vocabulary_size,
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
        **settings,
    )


def make_tensors(batch):
    """Returns the model's inputs, a dict, the masked positions and their original ids, both (batch, predictions)."""
    inputs = {
        "input_ids": torch.from_numpy(batch["token_ids"]).long(),
        "attention_mask": torch.from_numpy(batch["padding_mask"]).long(),
        "token_type_ids": torch.from_numpy(batch["segment_ids"]).long(),
    }
    return inputs, torch.from_numpy(batch["mask_positions"]).long(), torch.from_numpy(batch["mask_ids"]).long()


def published_loss(network, inputs, positions, targets):
    """Returns the mean loss over the masked positions; computes logits for all positions."""
    labels = torch.full_like(inputs["input_ids"], -100).scatter(1, positions, targets)
    return network(**inputs, labels=labels).loss


def gathered_loss(network, inputs, positions, targets):
    """Returns the same loss; computes logits for the masked positions only."""
    features = network.bert(**inputs).last_hidden_state
    features = torch.take_along_dim(features, positions[..., None], dim=1)
    return functional.cross_entropy(network.cls(features).flatten(0, 1), targets.flatten())


@torch.no_grad()
def assign_weights(network, arrays, num_layers):
    """Assigns arrays, named like karpa_tf's weights, to the weights of a `BertForMaskedLM` or a token classifier.

    Raises:
        ValueError: an array or a weight is left over.
    """
    arrays, parameters = dict(arrays), dict(network.named_parameters())

    def assign(path, source, weight="kernel", bias="bias"):
        if weight:
            copy(parameters.pop(f"{path}.weight"), arrays.pop(f"{source}/{weight}").T)
        copy(parameters.pop(f"{path}.bias"), arrays.pop(f"{source}/{bias}"))

    for kind, name in (("word", "token"), ("position", "position"), ("token_type", "segment")):
        copy(parameters.pop(f"bert.embeddings.{kind}_embeddings.weight"), arrays.pop(f"{name}_embedding/embeddings"))
    assign("bert.embeddings.LayerNorm", "embeddings_layer_norm", "gamma", "beta")
    for number in range(num_layers):
        path, source = f"bert.encoder.layer.{number}", f"transformer_layer_{number}"
        for name in ("kernel", "bias"):
            projections = np.split(arrays.pop(f"{source}_self_attention/query_key_value/{name}"), 3, axis=-1)
            for projection, array in zip(("query", "key", "value"), projections, strict=True):
                arrays[f"{projection}/{name}"] = array
        for projection in ("query", "key", "value"):
            assign(f"{path}.attention.self.{projection}", projection)
        assign(f"{path}.attention.output.dense", f"{source}_self_attention/attention_output")
        assign(f"{path}.attention.output.LayerNorm", f"{source}_self_attention_layer_norm", "gamma", "beta")
        assign(f"{path}.intermediate.dense", f"{source}_feedforward_intermediate_dense")
        assign(f"{path}.output.dense", f"{source}_feedforward_output_dense")
        assign(f"{path}.output.LayerNorm", f"{source}_feedforward_layer_norm", "gamma", "beta")
    if isinstance(network, transformers.BertForTokenClassification):
        assign("classifier", "logits")
    else:
        assign("cls.predictions.transform.dense", "mlm_head_dense")
        assign("cls.predictions.transform.LayerNorm", "mlm_head_layer_norm", "gamma", "beta")
        assign("cls.predictions", "logits", weight=None)
    if arrays or parameters:
        raise ValueError(f"Left over: the arrays {[*arrays]} and the weights {[*parameters]}.")
