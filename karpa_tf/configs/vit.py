"""Sizes of vision transformers."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_fraction, require_positive
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ViTConfig:
    """Transformer layers, with layer normalization before each block, over square patches of an image."""

    family: Literal["vit"] = "vit"
    """Model family; set by the preset."""

    patch_size: int = 16
    """Height and width of a patch, in pixels; must divide --image-size."""

    hidden_dim: int = 192
    """Size of a patch's hidden state."""

    num_layers: int = 12
    """Number of Transformer layers."""

    num_heads: int = 3
    """Attention heads per layer; must divide --hidden-dim."""

    intermediate_dim: int = 768
    """Units between the two dense layers of a feed-forward block."""

    dropout: float = 0.0
    """Dropout rate of the embeddings and of the output of every attention and feed-forward block."""

    stochastic_depth: float = 0.0
    """Probability that a block of the last layer is skipped for an image in training (Huang et al. 2016); it rises
    linearly from 0 in the first layer."""

    activation: Literal["gelu", "geglu"] = "gelu"
    """Activation of the feed-forward blocks; geglu has a gate of as many units again (Shazeer 2020)."""

    use_bias: bool = True
    """Whether the dense layers of attention and feed-forward blocks have biases."""

    layer_norm_epsilon: float = 1e-6
    """What layer normalization adds to the variance."""

    def __post_init__(self):
        for field in ("patch_size", "hidden_dim", "num_layers", "num_heads", "intermediate_dim", "layer_norm_epsilon"):
            require_positive(field, getattr(self, field))
        if self.hidden_dim % self.num_heads:
            raise UserError(
                f"--num-heads must divide --hidden-dim; received {self.num_heads} heads and a hidden dimension of "
                f"{self.hidden_dim}."
            )
        for field in ("dropout", "stochastic_depth"):
            require_fraction(field, getattr(self, field))

    def require_size(self, height, width):
        """Raises `UserError` if the patches do not fill images of this height and width."""
        if height % self.patch_size or width % self.patch_size:
            raise UserError(
                f"--patch-size must divide the height and width of images; received {self.patch_size} for "
                f"{height}x{width}."
            )

    @property
    def normalize_first(self):
        """Whether layer normalization comes before each block."""
        return True

    @property
    def position_embedding(self):
        """How positions are told apart; they are added before the first layer."""
        return "learned"


TINY = ViTConfig()
"""ViT-Ti/16 (Touvron et al. 2020, "DeiT", table 1)."""

SMALL = ViTConfig(hidden_dim=384, num_heads=6, intermediate_dim=1536)
"""ViT-S/16 (the same)."""

BASE = ViTConfig(hidden_dim=768, num_heads=12, intermediate_dim=3072)
"""ViT-B/16 (Dosovitskiy et al. 2020, table 1)."""

COMPACT = ViTConfig(patch_size=4, num_layers=6, intermediate_dim=384)
"""For 32x32: 64 patches, 1.8 million weights."""
