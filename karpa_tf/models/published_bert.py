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

    tokens: tuple[str, ...]
    """Its vocabulary, in the order of the ids."""

    lowercase: bool
    """Whether its text is converted to lowercase."""

    strip_accents: bool
    """Whether combining marks are removed from its letters."""

    weights_file: Path | None
    """The file of its weights; None if it was downloaded."""

    read_arrays: Callable[[], dict[str, np.ndarray]]
    """Returns float32 arrays by the paths of the weights in `make_masked_lm`'s model, in the order of `tokens`; without
    those of `HEAD` if the model was published without them."""

    def assign(self, model, tokens):
        """Assigns the weights to a model.

        Args:
            model: from `make_masked_lm`, with the sizes of `config` and the vocabulary `tokens`.
            tokens: the same tokens as those of this model, in another order; or fewer.

        Returns:
            Whether there were weights for the layers of `HEAD`; if not, these keep theirs.

        Raises:
            UserError: the file cannot be read, or lacks other weights.
        """
        arrays, index = self.read_arrays(), {token: row for row, token in enumerate(self.tokens)}
        rows = [index[token] for token in tokens]
        for name in ("token_embedding/embeddings", "logits/bias"):
            if name in arrays:
                arrays[name] = arrays[name][rows]
        has_head = "logits/bias" in arrays
        weights = [weight for weight in model.weights if has_head or weight.path.split("/")[0] not in HEAD]
        for weight in weights:
            if weight.path not in arrays:
                raise UserError(f"--init: {self.weights_file or 'the preset'} has no weights for {weight.path}.")
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
