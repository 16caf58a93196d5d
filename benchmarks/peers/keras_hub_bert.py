"""Masked language modelling with KerasHub's own backbone and head, trained by `compile` and `fit`."""

import keras
import keras_hub
import numpy as np

from benchmarks import same_work
from benchmarks.keras_programs import cross_entropy, fitted, repeat_batch, seed_everything


def program(folder, precision, config, batch_size, words):
    """Returns the `Program` of `fit` with AdamW and clipping, on rows that are ready.

    Its GELU is the approximate one. Like karpa_tf it takes the head of the hidden places alone; like BERT it drops
    weights of the attention.

    Args:
        folder: that of `same_work`.
        precision: "float32" or "bfloat16".
        config: a `BERTConfig` with BERT's own norms, positions and two segments.
        batch_size: rows in a step.
        words: size of the vocabulary.
    """
    seed_everything(precision)
    model = make_network(config, words)
    arrays, batch = same_work.read(folder)
    take(model, arrays, config.num_layers)
    adam = keras.optimizers.AdamW(1e-4, weight_decay=0.01, global_clipnorm=1.0)
    adam.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "embeddings"])
    model.compile(
        adam,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
        jit_compile=False,
    )
    batch["padding_mask"] = batch["padding_mask"].astype(np.int32)
    inputs = {tensor.name: batch[tensor.name] for tensor in model.inputs}
    weights = np.ones(batch["mask_ids"].shape, np.float32)
    loss = cross_entropy(model, inputs, batch["mask_ids"])
    batches, size = repeat_batch((inputs, batch["mask_ids"], weights))
    return fitted(model, batches, loss, model.trainable_variables, size)


def make_network(config, words):
    """Returns a functional model of `BertBackbone` and `MaskedLMHead`."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=words,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_dim,
        intermediate_dim=config.intermediate_dim,
        dropout=config.dropout,
        max_sequence_length=config.max_sequence_length,
        num_segments=config.num_segments,
    )
    mask_positions = keras.Input((None,), dtype="int32", name="mask_positions")
    # In mixed precision the head of KerasHub 0.32 adds a bias of another dtype and fails; in float32 it does not.
    head = keras_hub.layers.MaskedLMHead(
        token_embedding=backbone.token_embedding,
        intermediate_activation="gelu",
        layer_norm_epsilon=1e-12,
        dtype="float32",
        name="head",
    )
    inputs = {tensor.name: tensor for tensor in backbone.inputs}
    logits = head(backbone.output["sequence_output"], mask_positions)
    return keras.Model(inputs | {"mask_positions": mask_positions}, logits)


def take(model, arrays, depth):
    """Moves arrays, named as karpa_tf's weights are, into the model; raises `ValueError` for one too many."""
    arrays = dict(arrays)
    variables = {variable.path: variable for variable in model.trainable_variables}

    def put(theirs, ours, *names):
        for name in names:
            variable = variables.pop(f"{theirs}/{name}")
            variable.assign(arrays.pop(f"{ours}/{name}").reshape(variable.shape))

    for kind in ("token", "position", "segment"):
        put(f"{kind}_embedding", f"{kind}_embedding", "embeddings")
    put("embeddings_layer_norm", "embeddings_layer_norm", "gamma", "beta")
    for number in range(depth):
        theirs, ours = f"transformer_layer_{number}", f"transformer_layer_{number}"
        for name in ("kernel", "bias"):
            parts = np.split(arrays.pop(f"{ours}_self_attention/query_key_value/{name}"), 3, axis=-1)
            for part, array in zip(("query", "key", "value"), parts, strict=True):
                arrays[f"{part}/{name}"] = array
        for part in ("query", "key", "value"):
            put(f"{theirs}/self_attention_layer/{part}", part, "kernel", "bias")
        output = "attention_output"
        put(f"{theirs}/self_attention_layer/{output}", f"{ours}_self_attention/{output}", "kernel", "bias")
        put(f"{theirs}/self_attention_layer_norm", f"{ours}_self_attention_layer_norm", "gamma", "beta")
        put(f"{theirs}/feedforward_intermediate_dense", f"{ours}_feedforward_intermediate_dense", "kernel", "bias")
        put(f"{theirs}/feedforward_output_dense", f"{ours}_feedforward_output_dense", "kernel", "bias")
        put(f"{theirs}/feedforward_layer_norm", f"{ours}_feedforward_layer_norm", "gamma", "beta")
    put("head/intermediate_dense", "mlm_head_dense", "kernel", "bias")
    put("head/intermediate_layer_norm", "mlm_head_layer_norm", "gamma", "beta")
    variables.pop("head/output_bias").assign(arrays.pop("logits/bias"))
    if arrays or variables:
        raise ValueError(f"Weights that found no place, and places that found none: {[*arrays]}, {[*variables]}.")
