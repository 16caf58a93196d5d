"""BERT and DistilBERT in a folder of Hugging Face, with config.json and model.safetensors."""

import json
from pathlib import Path

import numpy as np

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.errors import UserError
from karpa_tf.models.published_bert import PublishedBERT, fuse_projections, translate

_SIZES = {
    "bert": {
        "hidden_dim": "hidden_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "intermediate_dim": "intermediate_size",
        "num_segments": "type_vocab_size",
    },
    "distilbert": {
        "hidden_dim": "dim",
        "num_layers": "n_layers",
        "num_heads": "n_heads",
        "intermediate_dim": "hidden_dim",
    },
}
"""Fields of `BERTConfig` and of `config.json`, by its `model_type`."""

_EXPECTED = {
    "hidden_act": "gelu",
    "activation": "gelu",
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
    "is_decoder": False,
}
"""What `models.bert` computes; an entry that is missing has this value."""


def open_folder(folder):
    """Returns the `PublishedBERT` of a folder; raises `UserError` if it holds another kind of model."""
    folder = Path(folder)
    config = _read_config(folder)
    kind = config["model_type"]
    if kind not in _SIZES:
        raise UserError(f"--init {folder} is of the kind {kind}; expected {' or '.join(_SIZES)}.")
    for name, expected in _EXPECTED.items():
        if config.get(name, expected) != expected:
            raise UserError(f"--init {folder}: {name} is {config[name]} in config.json; expected {expected}.")
    weights_file = folder / "model.safetensors"
    if not weights_file.exists():
        raise UserError(
            f"--init {folder} has no model.safetensors; of a model in another format, save it anew with transformers: "
            "save_pretrained(DIR)."
        )
    try:
        sizes = BERTConfig(
            **{name: int(config[theirs]) for name, theirs in _SIZES[kind].items()},
            max_sequence_length=int(config["max_position_embeddings"]),
            layer_norm_epsilon=float(config.get("layer_norm_eps", 1e-12)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"--init {folder}: config.json lacks sizes, or has wrong ones: {error!r}.") from error
    return PublishedBERT(sizes, (weights_file,), lambda: _read_arrays(weights_file, sizes.num_layers))


def _read_config(folder):
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"--init {folder}: config.json cannot be read: {error}.") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise UserError(
            f"--init {folder} holds no run, with config.yaml, and no model of Hugging Face or KerasHub, with "
            "config.json."
        )
    return config


_LAYER = r"(?:encoder\.layer|transformer\.layer)\.(\d+)\."

_NAMES = (
    (r"embeddings\.word_embeddings\.weight", "token_embedding/embeddings"),
    (r"embeddings\.position_embeddings\.weight", "position_embedding/embeddings"),
    (r"embeddings\.token_type_embeddings\.weight", "segment_embedding/embeddings"),
    (r"embeddings\.LayerNorm\.(\w+)", r"embeddings_layer_norm/\1"),
    (
        _LAYER + r"attention\.(?:output\.dense|out_lin)\.(\w+)",
        r"transformer_layer_\1_self_attention/attention_output/\2",
    ),
    (
        _LAYER + r"(?:attention\.output\.LayerNorm|sa_layer_norm)\.(\w+)",
        r"transformer_layer_\1_self_attention_layer_norm/\2",
    ),
    (_LAYER + r"attention\.(?:self\.)?(q|k|v)(?:uery|ey|alue|_lin)\.(\w+)", r"transformer_layer_\1_\2/\3"),
    (_LAYER + r"(?:intermediate\.dense|ffn\.lin1)\.(\w+)", r"transformer_layer_\1_feedforward_intermediate_dense/\2"),
    (_LAYER + r"(?:output\.dense|ffn\.lin2)\.(\w+)", r"transformer_layer_\1_feedforward_output_dense/\2"),
    (_LAYER + r"(?:output\.LayerNorm|output_layer_norm)\.(\w+)", r"transformer_layer_\1_feedforward_layer_norm/\2"),
    (r"(?:cls\.predictions\.transform\.dense|vocab_transform)\.(\w+)", r"mlm_head_dense/\1"),
    (r"(?:cls\.predictions\.transform\.LayerNorm|vocab_layer_norm)\.(\w+)", r"mlm_head_layer_norm/\1"),
    (r"cls\.predictions\.(?:decoder\.)?bias|vocab_projector\.bias", "logits/bias"),
)
"""Names in the file, without that of the whole model, and paths of our weights, with PyTorch's last words.

Of both kinds of models. Those that are not here, of poolers and other heads, are not used.
"""


def _read_arrays(file, num_layers):
    from safetensors import SafetensorError, safe_open

    arrays = {}
    try:
        with safe_open(file, "np") as content:
            for name in content.keys():  # noqa: SIM118
                path = translate(_NAMES, name.removeprefix("bert.").removeprefix("distilbert."))
                if path:
                    arrays[path] = np.asarray(content.get_tensor(name), np.float32)
    except TypeError as error:  # NumPy has no bfloat16.
        raise UserError(
            f"--init: {file} is not in float32 or float16; save it anew: model.float().save_pretrained(DIR)."
        ) from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"--init: {file} cannot be read: {error}.") from error
    for path in list(arrays):
        layer, _, name = path.rpartition("/")
        if name == "weight" and arrays[path].ndim == 2:
            # PyTorch has the kernels of dense layers as (outputs, inputs).
            arrays[f"{layer}/kernel"] = arrays.pop(path).T
        elif layer.endswith("layer_norm"):  # Older files have Keras' names.
            arrays[f"{layer}/{ {'weight': 'gamma', 'bias': 'beta'}.get(name, name) }"] = arrays.pop(path)
    fuse_projections(arrays, num_layers)
    return arrays
