"""Presets of KerasHub, folders or names that it downloads; BERT and DistilBERT in them."""

from pathlib import Path

import keras_hub
import numpy as np

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.errors import UserError, nearest
from karpa_tf.models.bert import HEAD
from karpa_tf.models.published_bert import PublishedBERT, fuse_projections, translate

_KINDS = {
    keras_hub.models.BertBackbone: keras_hub.models.BertMaskedLM,
    keras_hub.models.DistilBertBackbone: keras_hub.models.DistilBertMaskedLM,
}
"""Masked language models by their encoders."""

_SIZES = ("hidden_dim", "num_layers", "num_heads", "intermediate_dim", "max_sequence_length")


def is_preset(folder):
    """Returns whether a folder holds a preset, by its `config.json`."""
    file = Path(folder, "config.json")
    return file.is_file() and '"registered_name": "keras_hub>' in file.read_text(encoding="utf-8", errors="replace")


def open_preset(preset):
    """Returns the `PublishedBERT` of a folder that `save_to_preset` wrote, or of a name, and KerasHub's tokenizer.

    Raises:
        UserError: there is none, it cannot be downloaded, or it is of another kind.
    """
    names, is_folder = [name for kind in _KINDS for name in kind.presets], Path(preset).is_dir()
    if not is_folder and preset not in names:
        raise UserError(
            f"--init {preset} holds no run, and is no preset of KerasHub{nearest(preset, names)} A model of Hugging "
            f"Face must be in a folder: where there is a network, hf download {preset} --local-dir DIR."
        )
    encoder = _load(keras_hub.models.Backbone, preset, load_weights=False)
    tokenizer = _load(keras_hub.models.Tokenizer, preset)
    if type(encoder) not in _KINDS or not isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        raise UserError(f"--init {preset} is a {type(encoder).__name__}; expected BERT or DistilBERT with WordPiece.")
    config = encoder.get_config()
    sizes = BERTConfig(**{name: config[name] for name in _SIZES}, num_segments=config.get("num_segments", 0))
    files = sorted(Path(preset).glob("*.weights.h5")) if is_folder else ()
    masked_lm = _KINDS[type(encoder)]
    return PublishedBERT(sizes, tuple(files), lambda: _read_arrays(masked_lm, preset, sizes.num_layers)), tokenizer


def load_part(kind, preset, save, **options):
    """Returns what `from_preset` of a class of KerasHub does; every error is raised as a `UserError`.

    Args:
        kind: the class.
        preset: a folder, or a name.
        save: Python code that saves the preset of this name to a folder DIR.
        **options: for `from_preset`.
    """
    try:
        return kind.from_preset(preset, **options)
    except Exception as error:  # of many classes: of the network, of files and of KerasHub
        reason = " ".join(str(error).split())[:150]
        hint = "" if Path(preset).is_dir() else f" Where there is a network, run {save}, and give --init DIR here."
        raise UserError(f"--init {preset} cannot be loaded: {reason}.{hint}") from error


def _load(kind, preset, **options):
    save = f"keras_hub.models.BertMaskedLM.from_preset('{preset}').save_to_preset('DIR')"
    return load_part(kind, preset, save, **options)


_LAYER = r"transformer_layer_(\d+)/"

_NAMES = (
    (r"(?:token_and_position_embedding/)?((?:token|position|segment)_embedding/embeddings)", r"\1"),
    (r"(embeddings_layer_norm/\w+)", r"\1"),
    (_LAYER + r"self_attention_layer/(q|k|v)\w+/(\w+)", r"transformer_layer_\1_\2/\3"),
    (_LAYER + r"self_attention_layer/(attention_output/\w+)", r"transformer_layer_\1_self_attention/\2"),
    (_LAYER + r"((?:self_attention_layer_norm|feedforward_\w+)/\w+)", r"transformer_layer_\1_\2"),
    (r"mlm_head/intermediate_dense/(\w+)", r"mlm_head_dense/\1"),
    (r"mlm_head/intermediate_layer_norm/(\w+)", r"mlm_head_layer_norm/\1"),
    (r"mlm_head/output_bias", "logits/bias"),
)
"""Paths of KerasHub's weights, and of ours; the pooler is not used."""


def _read_arrays(masked_lm, preset, num_layers):
    arrays, again = (_translate(_load(masked_lm, preset).weights) for _ in range(2))
    # A preset without a head gets a new one, with other random numbers each time.
    if not np.array_equal(arrays["mlm_head_dense/kernel"], again["mlm_head_dense/kernel"]):
        arrays = {path: array for path, array in arrays.items() if path.split("/")[0] not in HEAD}
    fuse_projections(arrays, num_layers)
    return arrays


def _translate(weights):
    arrays = {translate(_NAMES, weight.path): weight.numpy() for weight in weights}
    arrays.pop(None, None)
    for path, array in arrays.items():
        # KerasHub has an axis for the heads.
        if path.endswith("attention_output/kernel"):
            arrays[path] = array.reshape(-1, array.shape[-1])
        elif path[-8:] in ("q/kernel", "k/kernel", "v/kernel"):
            arrays[path] = array.reshape(array.shape[0], -1)
        elif path[-6:] in ("q/bias", "k/bias", "v/bias"):
            arrays[path] = array.ravel()
    return arrays
