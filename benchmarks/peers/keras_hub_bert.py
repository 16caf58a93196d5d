"""Masked language modeling with KerasHub's backbone and head, trained with `compile` and `fit`.

Like karpa_tf it computes logits for the masked positions only. Differences from karpa_tf: its GELU is the tanh
approximation, and, as in BERT, dropout is applied to the attention weights.
"""

import keras
import keras_hub
import numpy as np

from benchmarks import shared_weights
from benchmarks.keras_programs import configure_keras, cross_entropy, make_fit_program, repeat_batch


def make_program(folder, precision, config, batch_size, vocabulary_size):
    """Returns the `Program` of `fit` with AdamW and gradient clipping, on one repeated batch.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16".
        config: a `BERTConfig` with post-norm, learned position embeddings and two segments.
        batch_size: sequences per step, as many as in the shared batch.
        vocabulary_size: number of tokens.
    """
    configure_keras(precision)
    model = make_network(config, vocabulary_size)
    arrays, batch = shared_weights.load(folder)
    assign_weights(model, arrays, config.num_layers)
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
    return make_fit_program(model, batches, loss, model.trainable_variables, size)


def make_network(config, vocabulary_size):
    """Returns a functional model of `BertBackbone` and `MaskedLMHead`."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_dim,
        intermediate_dim=config.intermediate_dim,
        dropout=config.dropout,
        max_sequence_length=config.max_sequence_length,
        num_segments=config.num_segments,
    )
    mask_positions = keras.Input((None,), dtype="int32", name="mask_positions")
    # In mixed precision the head of KerasHub 0.32 fails because its bias has another dtype; in float32 it works.
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


def assign_weights(model, arrays, num_layers):
    """Assigns arrays, named like karpa_tf's weights, to the model's weights.

    Raises:
        ValueError: an array or a weight is left over.
    """
    arrays = dict(arrays)
    variables = {variable.path: variable for variable in model.trainable_variables}

    def assign(path, source, *names):
        for name in names:
            variable = variables.pop(f"{path}/{name}")
            variable.assign(arrays.pop(f"{source}/{name}").reshape(variable.shape))

    for kind in ("token", "position", "segment"):
        assign(f"{kind}_embedding", f"{kind}_embedding", "embeddings")
    assign("embeddings_layer_norm", "embeddings_layer_norm", "gamma", "beta")
    for number in range(num_layers):
        layer = f"transformer_layer_{number}"
        for name in ("kernel", "bias"):
            projections = np.split(arrays.pop(f"{layer}_self_attention/query_key_value/{name}"), 3, axis=-1)
            for projection, array in zip(("query", "key", "value"), projections, strict=True):
                arrays[f"{projection}/{name}"] = array
        for projection in ("query", "key", "value"):
            assign(f"{layer}/self_attention_layer/{projection}", projection, "kernel", "bias")
        output = "attention_output"
        assign(f"{layer}/self_attention_layer/{output}", f"{layer}_self_attention/{output}", "kernel", "bias")
        assign(f"{layer}/self_attention_layer_norm", f"{layer}_self_attention_layer_norm", "gamma", "beta")
        for name in ("feedforward_intermediate_dense", "feedforward_output_dense"):
            assign(f"{layer}/{name}", f"{layer}_{name}", "kernel", "bias")
        assign(f"{layer}/feedforward_layer_norm", f"{layer}_feedforward_layer_norm", "gamma", "beta")
    assign("head/intermediate_dense", "mlm_head_dense", "kernel", "bias")
    assign("head/intermediate_layer_norm", "mlm_head_layer_norm", "gamma", "beta")
    variables.pop("head/output_bias").assign(arrays.pop("logits/bias"))
    if arrays or variables:
        raise ValueError(f"Left over: the arrays {[*arrays]} and the weights {[*variables]}.")
