"""Weights of BERT and DistilBERT that others have published, for the models of `models.bert`."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.errors import UserError
from karpa_tf.models.bert import HEAD


@dataclasses.dataclass(frozen=True)
class PublishedBERT:
    """A published model, whose arrays are read when they are needed."""

    config: BERTConfig
    """Its sizes."""

    weights_files: tuple[Path, ...]
    """The files of its weights; empty if they were downloaded."""

    read_arrays: Callable[[], dict[str, np.ndarray]]
    """Returns float32 arrays by the paths of the weights in `make_masked_lm`'s model, with a row for each token of its
    own vocabulary; without those of `HEAD` if the model was published without them."""

    def assign(self, model, rows):
        """Assigns the weights to a model.

        Args:
            model: from `make_masked_lm`, with the sizes of `config`.
            rows: int (vocabulary_size,), the row in this model's embeddings of each token of that one.

        Returns:
            Whether there were weights for the layers of `HEAD`; if not, these keep theirs.

        Raises:
            UserError: the files cannot be read, or the weights are not those of `config`.
        """
        source, arrays = self.weights_files[0] if self.weights_files else "the preset", self.read_arrays()
        for name in {"token_embedding/embeddings", "logits/bias"} & arrays.keys():
            if max(rows) >= len(arrays[name]):
                raise UserError(f"--init: {source} has {len(arrays[name])} tokens, and the vocabulary {max(rows) + 1}.")
            arrays[name] = arrays[name][rows]
        has_head = "logits/bias" in arrays
        for weight in model.weights:
            if weight.path.split("/")[0] in HEAD and not has_head:
                continue
            if weight.path not in arrays:
                raise UserError(f"--init: {source} has no weights for {weight.path}.")
            if arrays[weight.path].shape != weight.shape:
                found = arrays[weight.path].shape
                raise UserError(f"--init: {source} has {found} weights for {weight.path}; expected {weight.shape}.")
            weight.assign(arrays[weight.path])
        return has_head


def translate(names, name):
    """Returns the path of our weight for the name of a published one, or None.

    Args:
        names: pairs of a pattern for the whole name and what its groups are expanded to.
        name: the name.
    """
    for pattern, ours in names:
        if match := re.fullmatch(pattern, name):
            return match.expand(ours)
    return None


def fuse_projections(arrays, num_layers):
    """Replaces the arrays of queries, keys and values of every layer by those of `SelfAttention`, in the dict itself.

    Args:
        arrays: those of "transformer_layer_0_q/kernel", (hidden_dim, hidden_dim), and "/bias", (hidden_dim,), and so on
            with "k" and "v" and for all layers; those that are missing stay so.
        num_layers: number of layers.
    """
    for index in range(num_layers):
        layer = f"transformer_layer_{index}"
        for name in ("kernel", "bias"):
            parts = [arrays.pop(f"{layer}_{letter}/{name}", None) for letter in "qkv"]
            if not any(part is None for part in parts):
                arrays[f"{layer}_self_attention/query_key_value/{name}"] = np.concatenate(parts, axis=-1)
