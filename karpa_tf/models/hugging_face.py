"""BERT and DistilBERT in a folder of Hugging Face: config.json, model.safetensors, tokenizer.json or vocab.txt."""

import json
from pathlib import Path

import numpy as np

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.errors import UserError
from karpa_tf.models.published_bert import PublishedBERT, fuse_projections, translate


def _read_json(folder, name):
    """Returns the content of a JSON file, or {} if there is none."""
    file = Path(folder, name)
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"--init {folder}: {name} cannot be read: {error}.") from error


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
    folder, config = Path(folder), _read_json(folder, "config.json")
    kind = config.get("model_type")
    if not kind:
        raise UserError(
            f"--init {folder} holds no run, with config.yaml, and no model of Hugging Face or KerasHub, with "
            "config.json."
        )
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
    sizes = BERTConfig(
        **{name: config[theirs] for name, theirs in _SIZES[kind].items()},
        max_sequence_length=config["max_position_embeddings"],
        layer_norm_epsilon=config.get("layer_norm_eps", 1e-12),
    )
    return PublishedBERT(
        sizes,
        *_read_tokenizer(folder),
        weights_file,
        lambda: _read_arrays(weights_file, sizes.num_layers),
    )


def _read_tokenizer(folder):
    """Returns the tokens in the order of their ids, and whether text is converted to lowercase and loses accents."""
    tokenizer, settings = _read_json(folder, "tokenizer.json"), _read_json(folder, "tokenizer_config.json")
    if tokenizer:
        model, normalizer = tokenizer["model"], tokenizer.get("normalizer") or {}
        splitter = (tokenizer.get("pre_tokenizer") or {}).get("type")
        if (model.get("type"), normalizer.get("type"), splitter) != ("WordPiece", "BertNormalizer", "BertPreTokenizer"):
            raise UserError(f"--init {folder}: its tokenizer.json is not BERT's WordPiece; no other is supported.")
        lowercase, strip_accents = normalizer["lowercase"], normalizer.get("strip_accents")
        tokens = sorted(model["vocab"], key=model["vocab"].get)
    elif (folder / "vocab.txt").exists():
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        tokens = [line.removesuffix("\r") for line in lines]
        # Without settings: a vocabulary with capital letters is that of a cased model.
        is_lower = not any(token != token.lower() for token in tokens if not token.startswith("["))
        lowercase, strip_accents = settings.get("do_lower_case", is_lower), settings.get("strip_accents")
    else:
        raise UserError(f"--init {folder} has neither tokenizer.json nor vocab.txt.")
    return tuple(tokens), lowercase, lowercase if strip_accents is None else strip_accents


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
