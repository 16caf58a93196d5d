"""Sizes of Transformer layers, whatever they are made for."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_fraction, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """A stack of self-attention and feed-forward blocks."""

    hidden_dim: int = 256
    """Size of the hidden state of a token, or of a patch."""

    num_layers: int = 4
    """Number of Transformer layers."""

    num_heads: int = 4
    """Attention heads per layer; must divide --hidden-dim."""

    intermediate_dim: int = 1024
    """Units between the two dense layers of a feed-forward block."""

    dropout: float = 0.1
    """Dropout rate of the embeddings and of the output of every attention and feed-forward block."""

    normalize_first: bool = False
    """Apply layer normalization before each block (pre-norm, easier to train) instead of after it, as BERT does."""

    activation: Literal["gelu", "geglu"] = "gelu"
    """Activation of the feed-forward blocks. geglu has a gate of as many units again (Shazeer 2020): two thirds of an
    --intermediate-dim then have as many weights."""

    use_bias: bool = True
    """Whether the dense layers of attention and feed-forward blocks have biases."""

    layer_norm_epsilon: float = 1e-12
    """What layer normalization adds to the variance; 1e-12 as in the published BERT."""

    def __post_init__(self):
        for field in ("hidden_dim", "num_layers", "num_heads", "intermediate_dim", "layer_norm_epsilon"):
            require_positive(field, getattr(self, field))
        if self.hidden_dim % self.num_heads:
            raise UserError(
                f"--num-heads must divide --hidden-dim; received {self.num_heads} heads and a hidden dimension of "
                f"{self.hidden_dim}."
            )
        require_fraction("dropout", self.dropout)

    @property
    def is_rotary(self):
        """Whether attention rotates queries and keys by their positions; otherwise positions are added before."""
        return False
